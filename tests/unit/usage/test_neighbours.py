"""What only another usage-service knows is asked there, once, and answered as if it were known here."""

import json
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fastapi import Request, Response

from energy_tracker.kit.health import Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.usage.adapters.flow_notes import Note, next_epoch, read_note
from energy_tracker.services.usage.adapters.neighbours import KafkaNeighbours
from energy_tracker.services.usage.api_edge import PASSED_ON, router_of
from energy_tracker.services.usage.neighbours import Answer, LookedAfterElsewhere, Question

HERE, ELSEWHERE = 1, 2


class OneNeighbour:
    """Answers what it is asked, or does not; notes the questions."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Question]] = []
        self.answer: Answer | None = Answer(201, {"etag": '"7"', "connection": "close", "content-length": "9"}, b"{}")

    async def ask(self, user_id: int, question: Question) -> Answer | None:
        self.asked.append((user_id, question))
        return self.answer


@pytest.fixture
def neighbour() -> OneNeighbour:
    """Give the neighbour of the process that is asked."""
    return OneNeighbour()


@pytest.fixture
async def http(neighbour: OneNeighbour) -> AsyncIterator[httpx.AsyncClient]:
    """Ask a process that looks after one home of two."""
    router = router_of("homes", neighbour)

    @router.put("/homes/{number}/{name}")
    @router.put("/homes/{number}")
    async def change(number: int, request: Request) -> Response:
        if number != HERE:
            raise LookedAfterElsewhere(number)
        return Response(await request.body())

    app = create_app("usage", description="", health=Health({}), telemetry=Telemetry("usage"))
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client


async def test_what_is_known_here_is_answered_here(http: httpx.AsyncClient, neighbour: OneNeighbour) -> None:
    answer = await http.put(f"/api/v1/homes/{HERE}", content=b"mine")
    assert (answer.status_code, answer.content, neighbour.asked) == (200, b"mine", [])


async def test_a_neighbour_gets_the_question_as_it_came(http: httpx.AsyncClient, neighbour: OneNeighbour) -> None:
    headers = {"If-Match": '"6"', "X-Other": "stays here"}
    answer = await http.put(f"/api/v1/homes/{ELSEWHERE}?a=%26&b", json={"c": 1}, headers=headers)
    ((user_id, question),) = neighbour.asked
    assert (user_id, question.method, question.target) == (ELSEWHERE, "PUT", f"/api/v1/homes/{ELSEWHERE}?a=%26&b")
    assert json.loads(question.body) == {"c": 1}
    assert question.headers == {"accept": "*/*", "content-type": "application/json", "if-match": '"6"', PASSED_ON: "1"}
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (201, b"{}", '"7"')
    assert answer.headers["content-length"] == "2"


async def test_what_is_escaped_in_a_path_stays_so(http: httpx.AsyncClient, neighbour: OneNeighbour) -> None:
    await http.put(f"/api/v1/homes/{ELSEWHERE}/a%3Fb%C3%BC")
    await http.put(f"/api/v1/homes/{ELSEWHERE}")
    targets = [question.target for _, question in neighbour.asked]
    assert targets == [f"/api/v1/homes/{ELSEWHERE}/a%3Fb%C3%BC", f"/api/v1/homes/{ELSEWHERE}"]


async def test_a_question_is_passed_on_once(http: httpx.AsyncClient, neighbour: OneNeighbour) -> None:
    answer = await http.put(f"/api/v1/homes/{ELSEWHERE}", headers={PASSED_ON: "1"})
    assert (answer.status_code, answer.headers["retry-after"], neighbour.asked) == (503, "1", [])


async def test_where_no_neighbour_answers_one_is_to_ask_again(http: httpx.AsyncClient, neighbour: OneNeighbour) -> None:
    neighbour.answer = None
    answer = await http.put(f"/api/v1/homes/{ELSEWHERE}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "ask again" in answer.json()["detail"]


class Notes:
    """Stands for the ledger."""

    def __init__(self, notes: Mapping[int, Note]) -> None:
        self._notes = notes

    async def notes(self, *, within_s: float) -> Mapping[int, Note]:
        assert within_s
        return self._notes


async def _ask(notes: Mapping[int, Note]) -> Answer | None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "gone":
            raise httpx.ConnectError("It is gone.", request=request)
        return httpx.Response(207, content=f"{request.method} {request.url} {request.content.decode()}")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        neighbours = KafkaNeighbours(Notes(notes), lambda user_id: user_id % 2, http)  # type: ignore[arg-type]  # stands for it
        return await neighbours.ask(3, Question("PUT", "/a?b=%26", {}, b"c"))


async def test_the_note_of_a_partition_tells_who_has_it() -> None:
    answer = await _ask({0: Note(by="http://other:1"), 1: Note(by="http://there:8083")})
    assert answer is not None
    assert (answer.status, answer.body) == (207, b"PUT http://there:8083/a?b=%26 c")


@pytest.mark.parametrize("notes", [{}, {1: Note()}, {1: Note(by="http://gone:1")}])
async def test_nobody_answers_where_nobody_is_known_or_reached(notes: dict[int, Note]) -> None:
    assert await _ask(notes) is None


def test_a_note_names_who_took_the_partition_over_last() -> None:
    note = next_epoch(Note(), by="http://a:1")
    assert read_note(next_epoch(note, above=7).text()).by == "http://a:1"
    assert next_epoch(note, by="").by == ""
    assert read_note('{"epoch": 3}').by == "", "as former releases wrote it"
