"""How good scores, maps and thresholds are, and how sure one can be of it.

Arrays only: labels are 0 (normal) and 1 (anomalous), scores and maps are higher for
stranger images and pixels.
"""
