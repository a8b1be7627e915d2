from sphinx.application import Sphinx
def setup(app: Sphinx): return {"parallel_read_safe": True}
