"""The service as an ASGI application: its routes, limits and answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.trustedhost import TrustedHostMiddleware

from adlib._inspection import Inspection
from adlib._version import __version__
from adlib.serve._answers import Answer, MapFormat, Refusal, answer
from adlib.serve._keys import Keys
from adlib.serve._listen import LOCAL
from adlib.serve._metrics import Metrics
from adlib.serve._models import Model, Models
from adlib.serve._page import page
from adlib.serve._uploads import Limits, readable_formats, received
from adlib.serve._worker import Worker

ABOUT = """Judge images of parts by models that learned from good parts alone.

curl --data-binary @part.png http://HOST:PORT/models/NAME/inspect
curl -F file=@1.png -F file=@2.png http://HOST:PORT/models/NAME/inspect
     -H "Authorization: Bearer KEY"   where the service has keys"""
BEARER = HTTPBearer(auto_error=False)
REFUSED, LATE = 400, 408  # status codes
CLOSE = (b"connection", b"close")
RETRY = {"Retry-After": "1"}  # seconds: a queue of 64 is worked off in about one
BODY = {
    "content": {
        "image/*": {
            "schema": {
                "type": "string",
                "description": "One image: PNG, JPEG, TIFF, BMP, GIF, WebP, PPM, "
                "JPEG 2000, as its bytes. application/octet-stream will do.",
            }
        },
        "multipart/form-data": {
            "schema": {"type": "object", "description": "Up to 64 files of images."}
        },
    },
    "required": True,
}
CODES = {
    400: "There is no image, or the form is damaged.",
    401: "The key is missing or wrong.",
    404: "There is no model of that name.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is neither an image nor a form.",
    429: "Too many requests wait. Ask again after the seconds of Retry-After.",
    504: "The images were not judged in time.",
}
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Service:
    """What the routes share: the models, the thread that judges, limits and keys."""

    def __init__(
        self, models: Models, metrics: Metrics, limits: Limits, keys: Keys | None
    ) -> None:
        self.models, self.metrics = models, metrics
        self.worker = Worker(metrics.note_batch)
        self._limits, self._keys = limits, keys
        self._formats = readable_formats()
        self._n_inside = 0

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Judge images and watch the folder until the server ends."""
        self.worker.start()
        self.models.start()
        yield
        await asyncio.to_thread(self.worker.stop)  # which answers what was accepted
        await asyncio.to_thread(self.models.stop)

    def check_key(self, given: HTTPAuthorizationCredentials | None) -> None:
        """Raise 401 unless the request has a key, where the service has some."""
        if self._keys is not None and (
            given is None or self._keys.name_of(given.credentials) is None
        ):
            raise HTTPException(401, CODES[401], headers={"WWW-Authenticate": "Bearer"})

    def model(self, name: str) -> Model:
        """Return a model by its name, which is looked up and never a path; or 404."""
        model = self.models.by_name.get(name)
        if model is None:
            known = ", ".join(sorted(self.models.by_name))
            raise HTTPException(404, f"{CODES[404]} There are: {known}.")
        return model

    async def judged(self, request: Request, model: Model) -> list[Inspection]:
        """Return the results for the images of a request, or raise what is stated."""
        started, what = time.perf_counter(), LATE
        with self._place():
            try:
                async with asyncio.timeout(self._limits.seconds):
                    items = await received(request, self._limits, self._formats)
                    what = 504
                    waiting = self.worker.put(model, items)
                    results = await asyncio.wrap_future(waiting)
            except TimeoutError:
                raise HTTPException(what, CODES[what]) from None
        self.metrics.note_results(model, results)
        self.metrics.seconds.observe(time.perf_counter() - started)
        return results

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places, before anything of the body is read; or 429."""
        if self._n_inside >= self._limits.n_waiting:
            raise HTTPException(429, CODES[429], headers=RETRY)
        self._n_inside += 1
        self.metrics.waiting.set(self._n_inside)
        try:
            yield
        finally:
            self._n_inside -= 1
            self.metrics.waiting.set(self._n_inside)


def application(
    models: Models,
    metrics: Metrics,
    *,
    limits: Limits | None = None,
    keys: Keys | None = None,
) -> FastAPI:
    """Return the service.

    Args:
        models: Loaded; watched while the application runs.
        metrics: Which ``models`` may count in, too.
        limits: Of requests; None: as ``Limits`` has them.
        keys: One of which each request needs; None: none, and only requests for a name
            of this machine are answered.

    Returns:
        The application, for one process and one event loop.
    """
    limits = limits or Limits()
    service = Service(models, metrics, limits, keys)
    app = FastAPI(
        title="adlib",
        version=__version__,
        description=ABOUT,
        lifespan=service.running,
        docs_url=None,  # FastAPI's own page loads scripts from the internet
        redoc_url=None,
    )

    def check_key(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        service.check_key(given)

    keyed = [Depends(check_key)]

    @app.post(
        "/models/{name}/inspect",
        dependencies=keyed,
        openapi_extra={"requestBody": BODY},
        responses={
            200: {"model": Answer, "description": "All images were judged."},
            422: {
                "model": Answer,
                "description": "An image is unusable: its `error` says why. The "
                "others were judged. Or `map` is not one of its values (detail).",
            },
            **{code: {"model": Refusal, "description": CODES[code]} for code in CODES},
        },
    )
    async def inspect(
        name: str,
        request: Request,
        map: Annotated[
            MapFormat | None,
            Query(
                description="png: grey, 255 is 1.5 times the pixel threshold; npy: "
                "float32 as NumPy saves it. At the model's size; stretch it over the "
                "image."
            ),
        ] = None,
    ) -> Response:
        """Judge the image, or the images of a form, by a model."""
        model = service.model(name)
        results = await service.judged(request, model)
        usable = all(result.error is None for result in results)
        if map is None:
            said = answer(model, results, None)
        else:  # drawn while others are received
            said = await asyncio.to_thread(answer, model, results, map)
        return JSONResponse(said, 200 if usable else 422)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the process lives. Needs no key."""
        return {"status": "alive"}

    @app.get("/ready", dependencies=keyed)
    async def ready() -> Response:
        """Name the models in service; 503 while one of the folder never was.

        An `error` beside a model says why its file of now is not in service: then an
        earlier one is.
        """
        found = {
            name: {
                "sha256": model.sha256,
                "loaded": model.loaded,
                "threshold": model.inspector.threshold_,
                "promise": model.promise,
                "error": models.errors.get(name),
            }
            for name, model in sorted(models.by_name.items())
        }
        missing = {k: v for k, v in models.errors.items() if k not in found}
        said = {"ready": not missing, "models": found, "missing": missing}
        return JSONResponse(said, 503 if missing else 200)

    @app.get("/metrics", dependencies=keyed)
    async def numbers() -> Response:
        """Return counters in Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        texts = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        return JSONResponse({"detail": "; ".join(texts)}, 422)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": "The model failed; its log says why."}, 500)

    if keys is None:  # or pages of the internet could be named like this machine
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL)
    app.add_middleware(_Outermost, metrics=metrics, n_bytes=limits.n_bytes)
    return app


class _Outermost:
    """Counts answers by their status, and ends connections whose body has no end.

    What is left of the body of a refused request is read and forgotten by the server,
    so that clients which send before they read get the answer. Not so where it may be
    longer than any that is allowed, or is late.
    """

    def __init__(self, app: Asgi, metrics: Metrics, n_bytes: int) -> None:
        self._app, self._metrics, self._n_bytes = app, metrics, n_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                self._metrics.requests.labels(status).inc()
                if status == LATE or (status >= REFUSED and not self._is_short(scope)):
                    message["headers"] = [*message["headers"], CLOSE]
            await send(message)

        await self._app(scope, receive, counted)

    def _is_short(self, scope: Scope) -> bool:
        length = dict(scope["headers"]).get(b"content-length", b"")
        return length.isdigit() and int(length) <= self._n_bytes
