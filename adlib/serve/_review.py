"""The review page as an application: lists, results, labels, scores."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

import uvicorn
from platformdirs import user_cache_path
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from adlib.runtime._file import SUFFIX
from adlib.serve._cache import Cache
from adlib.serve._drift import DriftLines
from adlib.serve._examine import PHOTO, THUMBNAIL, Examiner, Place, Unavailable
from adlib.serve._keys import Keys
from adlib.serve._listen import LOCAL, keys_for, listening
from adlib.serve._model import Model
from adlib.serve._pages import (
    ASSETS,
    Links,
    asset,
    compared_values,
    histogram_values,
    renderer,
    result_values,
)
from adlib.serve._reviewed import Filter, Label, Order, Reviewed, Row
from adlib.serve._sign_in import Sessions, form_of, is_own, own_page

T = TypeVar("T")
log = logging.getLogger("adlib.serve")
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
PAGE = 48  # results of a list
LARGEST = 2**63 - 1  # of a number in SQLite
MOST_WAITING = 64  # pictures that are asked for at once
N_DRAWING = 2  # of them that are drawn at once
LONGEST_COMMENT = 1000
UNKNOWN = 401  # the status of who shows no key
TITLES = {403: "Refused", 404: "Not there"}
GRACE = 5.0  # seconds for requests when the server is stopped
DECISIONS = {
    "": "All",
    "FAIL": "Fail",
    "REVIEW": "Review",
    "ERROR": "Not judged",
    "PASS": "Pass",
}
CONFIRMED = {
    "": "all",
    "none": "not yet",
    "good": "good",
    "defect": "defect",
}
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
NEVER = {"Cache-Control": "no-store"}
ALWAYS = {"Cache-Control": "private, max-age=31536000, immutable"}


class Review:
    """What the routes share: the database and its thread, pictures, who is signed in.

    Args:
        database: A results database.
        examiner: Draws pictures.
        keys: One of which each browser needs; None: none.
        drifts: Returns a line on drift for names of products; None: there is none.
    """

    def __init__(
        self,
        database: Path,
        examiner: Examiner,
        keys: Keys | None = None,
        drifts: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._database, self._examiner, self._drifts = database, examiner, drifts
        self.sessions = Sessions(keys)
        self._links = Links()
        self._render = renderer(self._links)
        self._thread = ThreadPoolExecutor(1, "adlib-results")  # SQLite's, and its order
        self._open: Reviewed | None = None
        self._kept: dict[Any, tuple[tuple[int, int], Any]] = {}
        self._drawing = asyncio.Semaphore(N_DRAWING)
        self._asking = asyncio.Semaphore(1)  # of models
        self._n_waiting = 0

    def application(self) -> Starlette:
        """Return the ASGI application."""
        number = "/results/{number:int}"
        pages: dict[str, Handler] = {
            "/": self.results,
            "/scores": self.scores,
            number: self.result,
            f"{number}/thumbnail": partial(self.picture, side=THUMBNAIL),
            f"{number}/image": partial(self.picture, side=PHOTO),
            f"{number}/close": self.close,
            f"{number}/map": self.map,
            f"{number}/compared": self.compared,
            f"{number}/near": self.near,
        }
        forms = {f"{number}/label": self.label, "/sign-out": self.sign_out}
        anyone = {f"/{name}": self.asset for name in ASSETS}
        routes = [Route(path, self._guarded(page)) for path, page in pages.items()]
        routes += [
            Route(path, self._guarded(form), methods=["POST"])
            for path, form in forms.items()
        ]
        sign_in = self._guarded(self.sign_in, for_all=True)
        routes.append(Route("/sign-in", sign_in, methods=["POST"]))
        routes += [Route(path, page) for path, page in anyone.items()]
        # Without keys pages of the internet could be named like this machine.
        local = Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL)
        return Starlette(
            routes=routes,
            middleware=[] if self.sessions.needed else [local],
            exception_handlers={
                HTTPException: self.refused,
                sqlite3.Error: self.busy,
                OSError: self.busy,
                Exception: self.failed,
            },
            lifespan=self.running,
        )

    def _guarded(self, page: Handler, *, for_all: bool = False) -> Handler:
        """Return a route that answers only who may ask, by a page of this server."""

        async def guarded(request: Request) -> Response:
            if request.method == "POST" and not is_own(request.headers):
                raise HTTPException(
                    403, "The form was sent by a page of another server."
                )
            who = self.sessions.name_of(request)
            if who is None and not for_all:
                raise HTTPException(UNKNOWN)
            request.state.who = who
            return await page(request)

        return guarded

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Keep the database open until the server ends."""
        yield
        self._thread.submit(self._close)
        self._thread.shutdown()

    # Pages

    async def results(self, request: Request) -> Response:
        """Show results in pages; ``after`` and ``before`` are numbers of results."""
        wanted, given = _filter(request)
        after, before = (_number(given.get(name, "0")) for name in ("after", "before"))
        query = _in_utc(wanted)
        rows = await self._asked(
            lambda r: r.listed(query, PAGE + 1, after=after, before=before)
        )
        has_more, rows = len(rows) > PAGE, _cut(rows, PAGE, from_end=bool(before))
        ends = [row.result.number for row in (rows[:1] + rows[-1:])]
        earlier = after or (before and has_more)
        later = before or has_more
        link = partial(self._links.listed, wanted)
        values = await self._head(request, wanted, given)
        products = [
            one for one in values["products"] if wanted.product in ("", one.name)
        ]
        counts = {
            name: sum(one.counts.get(name, 0) for one in products) for name in DECISIONS
        }
        counts[""] = sum(counts.values())
        return self._page(
            "list.html",
            **values,
            rows=rows,
            counts=counts,
            decisions=DECISIONS,
            labels=CONFIRMED,
            confirmed=await self._kept_while_same("labels", Reviewed.label_counts),
            filtered=wanted != Filter(order=wanted.order),
            earlier=link(before=ends[0]) if earlier and ends else "",
            later=link(after=ends[-1]) if later and ends else "",
            first=link() if after or before else "",
            zone=time.strftime("%Z"),
        )

    async def result(self, request: Request) -> Response:
        """Show a result, between its neighbours in the list it was reached from."""
        number = _path_number(request)
        wanted, given = _filter(request)
        query = _in_utc(wanted)
        row, place, labels = await self._row(number)
        after, before = await self._asked(
            lambda r: (
                r.listed(query, 1, after=number),
                r.listed(query, 1, before=number),
            )
        )
        state = await run_in_threadpool(self._examiner.state, row.result, place)
        address = partial(self._links.result, wanted=wanted)
        ahead = after[0].result if after else None
        values = await self._head(request, wanted, given)
        return self._page(
            "result.html",
            **values,
            **result_values(row, labels, state),
            previous=address(before[0].result.number) if before else "",
            next=address(ahead.number) if ahead else "",
            ahead=ahead if ahead and ahead.sha256 else None,
            ahead_model=state.model
            if ahead and ahead.product == row.result.product
            else "",
        )

    async def label(self, request: Request) -> Response:
        """Write what somebody says of a result; go on to the next without a label."""
        number = _path_number(request)
        wanted, _ = _filter(request)
        form = await form_of(request)
        said = {"good": False, "defect": True, "undo": None}
        if form.get("say") not in said:
            raise HTTPException(400, "say must be good, defect or undo.")
        defect = said[form["say"]]
        comment = form.get("comment", "").strip()[:LONGEST_COMMENT]
        await self._row(number)
        await self._asked(lambda r: r.say({number: defect}, comment, request.state.who))
        if defect is None:
            return RedirectResponse(self._links.result(number, wanted), 303)
        open_ones = wanted
        if wanted.label in ("", "none"):
            open_ones = wanted._replace(label="none")
        query = _in_utc(open_ones)
        rows = await self._asked(lambda r: r.listed(query, 1, after=number))
        if not rows:
            return RedirectResponse(self._links.listed(wanted, last=number), 303)
        go = self._links.result(rows[0].result.number, wanted, last=number)
        return RedirectResponse(go, 303)

    async def scores(self, request: Request) -> Response:
        """Show how the scores of a product are spread, and what thresholds would do."""
        wanted, given = _filter(request)
        values = await self._head(request, wanted, given)
        names = [one.name for one in values["products"]]
        product = wanted.product or (names[0] if names else "")
        if product not in names:
            raise HTTPException(404, "There is no such product.")
        found = await self._kept_while_same(
            ("scores", product), lambda r: r.scores(product)
        )
        linear = given.get("linear") == "1"
        drawn: dict[str, Any] = {"scores": None, "linear": linear}
        if found is not None:
            drawn = histogram_values(found, linear=linear)
        return self._page("scores.html", **values, **drawn, product=product)

    # Pictures

    async def picture(self, request: Request, side: int) -> Response:
        """Answer with the image, at most ``side`` pixels long."""
        row, place, _ = await self._asked_for(request)
        work = partial(self._examiner.picture, row.result, place, side)
        return await self._drawn(request, self._drawing, work)

    async def close(self, request: Request) -> Response:
        """Answer with the surroundings of the worst pixel."""
        row, place, _ = await self._asked_for(request)
        work = partial(self._examiner.close, row.result, place)
        return await self._drawn(request, self._drawing, work)

    async def map(self, request: Request) -> Response:
        """Answer with the map, by the model that the page named."""
        row, place, model = await self._asked_for(request)
        work = partial(self._examiner.map, row.result, place, model)
        return await self._drawn(request, self._asking, work, "image/png")

    async def near(self, request: Request) -> Response:
        """Answer with the good patch that is nearest."""
        row, place, model = await self._asked_for(request)

        def work() -> bytes:
            compared = self._examiner.compared(row.result, place, model)
            return self._examiner.near(compared)

        return await self._drawn(request, self._asking, work)

    async def compared(self, request: Request) -> Response:
        """Answer with the part of a page that shows that patch, or says why not."""
        row, place, model = await self._asked_for(request)

        def work() -> bytes:
            values = compared_values(self._examiner, self._links, row, place, model)
            said = self._render("compared.html", **values)
            return said.encode()

        return await self._drawn(request, self._asking, work, "text/html")

    async def asset(self, request: Request) -> Response:
        """Answer with a file that belongs to the pages."""
        name = request.url.path[1:]
        return Response(asset(name), media_type=ASSETS[name], headers=ALWAYS)

    # Who

    async def sign_in(self, request: Request) -> Response:
        """Let a browser in that sends a key."""
        form = await form_of(request)
        answer = RedirectResponse(own_page(form.get("page", "/")), 303)
        if self.sessions.sign_in(request, form.get("key", ""), answer):
            return answer
        return self._ask_for_key(form.get("page", "/"), wrong=True)

    async def sign_out(self, request: Request) -> Response:
        """Forget a browser."""
        self.sessions.sign_out(request)
        return RedirectResponse("/", 303)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Say in a page why a request is not answered."""
        assert isinstance(error, HTTPException)
        if error.status_code == UNKNOWN:
            query = f"?{request.url.query}" if request.url.query else ""
            return self._ask_for_key(own_page(request.url.path + query), wrong=False)
        title = TITLES.get(error.status_code, "This is not possible")
        return self._message(error.status_code, title, error.detail)

    async def busy(self, _: Request, error: Exception) -> Response:
        """Say that the database cannot be used."""
        text = f"The results database cannot be used now: {error}."
        log.warning(text)
        return self._message(503, "Try again in a moment", text)

    async def failed(self, _: Request, error: Exception) -> Response:
        """Say that this is a fault of adlib."""
        return self._message(500, "An error", "The log of the server has it.")

    # What the routes need

    async def _asked(self, work: Callable[[Reviewed], T]) -> T:
        """Return what the database answers, in its thread."""

        def ask() -> T:
            if self._open is None or not self._open.is_in_place():
                self._close()
                if not self._database.is_file():
                    raise FileNotFoundError(f"{str(self._database)!r} is not there")
                self._open = Reviewed(self._database)
            return work(self._open)

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, ask)

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    async def _kept_while_same(self, name: Any, work: Callable[[Reviewed], T]) -> T:
        """Return what the database answers; the last answer while nothing is new."""

        def ask(results: Reviewed) -> T:
            state = results.state()
            if name not in self._kept or self._kept[name][0] != state:
                self._kept[name] = state, work(results)
            kept: T = self._kept[name][1]
            return kept

        return await self._asked(ask)

    async def _row(self, number: int) -> tuple[Row, Place, list[Label]]:
        """Return a result, where its files are, and its labels; or raise 404."""

        def ask(results: Reviewed) -> tuple[Row | None, Place, list[Label]]:
            row = results.row(number)
            place = results.place(row.result.product) if row else ("", "")
            return row, Place(*place), results.labels(number)

        row, place, labels = await self._asked(ask)
        if row is None:
            raise HTTPException(404, "There is no such result.")
        return row, place, labels

    async def _asked_for(self, request: Request) -> tuple[Row, Place, str]:
        """Return the result of a picture, where its files are, and the model named."""
        row, place, _ = await self._row(_path_number(request))
        model = request.query_params.get("v", "").rpartition("-")[2]
        if not re.fullmatch(r"([0-9a-f]{64})?", model):
            raise HTTPException(404, "There is no such picture.")
        return row, place, model

    async def _head(
        self, request: Request, wanted: Filter, given: dict[str, str]
    ) -> dict[str, Any]:
        """Return the values that every page has."""
        notice = None
        last = _number(given.get("last", "0"))
        if last:
            row = await self._asked(lambda r: r.row(last))
            is_list = "number" not in request.path_params
            text = "No result further down is without a label." if is_list else ""
            if row is not None and row.defect is not None:
                notice = {"row": row, "text": text}
        return {
            "wanted": wanted,
            "who": request.state.who,
            "products": await self._kept_while_same("products", Reviewed.products),
            "drifts": self._drifts(),
            "notice": notice,
        }

    async def _drawn(
        self,
        request: Request,
        turn: asyncio.Semaphore,
        work: Callable[[], bytes],
        kind: str = "image/jpeg",
    ) -> Response:
        """Answer with what is drawn in a thread when it is its turn."""
        if self._n_waiting >= MOST_WAITING:
            raise HTTPException(503, "Too many pictures are asked for at once.")
        self._n_waiting += 1
        try:
            async with turn:
                if await request.is_disconnected():  # the next page is shown already
                    return Response(status_code=499)
                content = await run_in_threadpool(work)
        except Unavailable as reason:
            return Response(str(reason), 404, NEVER, "text/plain")
        finally:
            self._n_waiting -= 1
        return Response(content, 200, ALWAYS, kind)

    def _page(self, name: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._render(name, **values), status, NEVER)

    def _bare(self, name: str, status: int, **values: Any) -> Response:
        """Return a page that shows nothing of the database."""
        head = {"wanted": Filter(), "who": "", "products": [], "drifts": {}}
        return self._page(name, status, **head, **values)

    def _message(self, status: int, title: str, text: str) -> Response:
        return self._bare("message.html", status, title=title, text=text)

    def _ask_for_key(self, page: str, *, wrong: bool) -> Response:
        return self._bare("sign_in.html", 401, page=own_page(page), wrong=wrong)


def _cut(rows: list[Row], most: int, *, from_end: bool) -> list[Row]:
    return rows[-most:] if from_end else rows[:most]


def _number(text: str) -> int:
    """Return the number of a result, or raise 400."""
    if not (text.isascii() and text.isdecimal() and int(text) <= LARGEST):
        raise HTTPException(400, "after, before and last must be numbers of results.")
    return int(text)


def _path_number(request: Request) -> int:
    number: int = request.path_params["number"]
    if number > LARGEST:
        raise HTTPException(404, "There is no such result.")
    return number


def _filter(request: Request) -> tuple[Filter, dict[str, str]]:
    """Return the filter of an address, and all that the address gives; or raise 400."""
    given = {name: value for name, value in request.query_params.items() if value}
    wanted = Filter(
        **{name: given[name] for name in Filter._fields if name in given}  # type: ignore[arg-type]
    )
    options = {"decision": DECISIONS, "label": CONFIRMED, "order": get_args(Order)}
    for name, known in options.items():
        if getattr(wanted, name) not in known:
            rule = ", ".join(one for one in known if one)
            raise HTTPException(400, f"{name} must be one of {rule}.")
    _in_utc(wanted)
    return wanted, given


def _in_utc(wanted: Filter) -> Filter:
    """Return a filter with its times, of this machine's zone, in UTC; or raise 400."""
    times: dict[str, Any] = {}
    for name in ("since", "until"):
        text = getattr(wanted, name)
        try:
            when = datetime.fromisoformat(text).astimezone(UTC) if text else None
        except (OverflowError, ValueError):
            rule = "must be a time such as 2026-11-29T15:30"
            raise HTTPException(400, f"{name} {rule}.") from None
        times[name] = when.isoformat(timespec="milliseconds") if when else ""
    return wanted._replace(**times)


def server(
    database: Path,
    *,
    training: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8001,
    keys: Path | None = None,
    load: Callable[[Path], Model] | None = None,
    cache: Path | None = None,
) -> uvicorn.Server:
    """Return the server of the review page; its ``run`` serves until a signal.

    Args:
        database: A results database of `adlib watch`.
        training: A folder below which training images are; None: where they were.
        host: The address to listen at. All but those of this machine need ``keys``.
        port: To listen at; 0: any that is free.
        keys: File of keys, as ``Keys`` reads it; None: no key is asked for.
        load: What loads a model file; None: ``adlib.load``, or ``adlib.runtime.load``
            for an exported file.
        cache: Where pictures are kept; None: the user's folder for caches.

    Raises:
        ValueError: ``keys`` is None for another address, it is not as stated, or the
            file is no results database.
        OSError: A file cannot be read.
    """
    if not database.is_file():
        raise FileNotFoundError(f"There is no results database {str(database)!r}.")
    if training is not None and not training.is_dir():
        raise FileNotFoundError(
            f"--training must be a folder of images; {str(training)!r} is none."
        )
    known = keys_for(host, keys)
    Reviewed(database).close()  # or raises
    if cache is None:
        cache = user_cache_path("adlib", appauthor=False) / "review"
    examiner = Examiner(load or _load, Cache(cache), training)
    drifts = DriftLines(database)
    app = Review(database, examiner, known, drifts).application()
    return listening(app, host, port, headers=HEADERS, grace=GRACE)


def _load(path: Path) -> Model:
    """Load a model; torch is imported now, not when the server starts."""
    if path.suffix == SUFFIX:
        from adlib import runtime  # noqa: PLC0415

        return runtime.load(path)
    from adlib.estimators import load  # noqa: PLC0415

    model = load(path)
    model.progress = False
    return model
