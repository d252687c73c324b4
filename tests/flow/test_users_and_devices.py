"""Users and devices as a client sees them, over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from tests.support.relational import House, open_house

from energy_tracker.storage.sql import read_transaction

USER = "/api/v1/user"
DEVICE = "/api/v1/device"
HUGE = 2**63

ANNA: dict[str, Any] = {
    "name": "Anna",
    "surname": "Muster",
    "email": "Anna@example.org",
    "address": "Weg 1",
    "alerting": True,
    "energyAlertingThreshold": 2.5,
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


async def create_user(house: House, **fields: Any) -> int:
    answer = await house.user_http.post(f"{USER}/create", json=ANNA | fields)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def create_device(house: House, **fields: Any) -> int:
    answer = await house.device_http.post(
        f"{DEVICE}/create", json={"name": "Plug", "type": "MISC", "userId": 1} | fields
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def problem(answer: httpx.Response, status: int, *pointers: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["type"]
    assert document["title"]
    assert document["detail"]
    assert [error["pointer"] for error in document.get("errors", [])] == list(pointers)
    return document


class TestUsers:
    @pytest.mark.parametrize("path", [f"{USER}/create", USER])
    async def test_are_created_in_the_shape_they_are_sent(self, house: House, path: str) -> None:
        answer = await house.user_http.post(path, json=ANNA)
        assert answer.status_code == 201
        assert answer.json() == {"id": 1, **ANNA, "timeZone": "Europe/Zurich"}
        assert answer.headers["location"] == f"{USER}/1"
        read = await house.user_http.get(f"{USER}/1")
        assert (read.status_code, read.json(), read.headers["etag"]) == (200, answer.json(), answer.headers["etag"])

    async def test_need_a_name_and_an_address_alone_and_get_their_id_from_the_service(self, house: House) -> None:
        for given, number in ((None, 1), (0, 2), (77, 3)):
            answer = await house.user_http.post(USER, json={"id": given, "name": "A", "email": f"a{number}@b.example"})
            assert answer.json()["id"] == number
        assert answer.json() == {
            "id": 3,
            "name": "A",
            "surname": "",
            "email": "a3@b.example",
            "address": "",
            "alerting": False,
            "energyAlertingThreshold": None,
            "timeZone": "Europe/Zurich",
        }

    async def test_take_the_nulls_of_a_java_client(self, house: House) -> None:
        nulls = dict.fromkeys(("id", "surname", "address", "alerting", "energyAlertingThreshold", "timeZone"))
        answer = await house.user_http.post(USER, json=nulls | {"name": "A", "email": "a@b.example"})
        assert answer.status_code == 201

    async def test_are_replaced_but_for_the_fields_beside_the_originals(self, house: House) -> None:
        await create_user(house, timeZone="Asia/Kathmandu")
        answer = await house.user_http.put(f"{USER}/1", json={"id": 1, "name": "Eva", "email": "eva@example.org"})
        assert answer.status_code == 200
        assert (answer.json()["surname"], answer.json()["alerting"]) == ("", False)
        assert answer.json()["timeZone"] == "Asia/Kathmandu"
        whole = answer.json() | {"timeZone": "UTC"}
        assert (await house.user_http.put(f"{USER}/1", json=whole)).json() == whole

    async def test_are_not_overwritten_by_who_has_not_seen_the_last_change(self, house: House) -> None:
        await create_user(house)
        old = (await house.user_http.get(f"{USER}/1")).headers["etag"]
        new = (await house.user_http.put(f"{USER}/1", json=ANNA, headers={"If-Match": old})).headers["etag"]
        assert new != old
        for tag in (old, '"x"', "nonsense"):
            problem(await house.user_http.put(f"{USER}/1", json=ANNA, headers={"If-Match": tag}), 412)
            problem(await house.user_http.delete(f"{USER}/1", headers={"If-Match": tag}), 412)
        for tag in ("*", f"{old}, {new}"):
            assert (await house.user_http.put(f"{USER}/1", json=ANNA, headers={"If-Match": tag})).status_code in {
                200,
                412,
            }
        assert (await house.user_http.put(f"{USER}/1", json=ANNA)).status_code == 200

    async def test_have_an_address_of_their_own(self, house: House) -> None:
        await create_user(house)
        await create_user(house, email="eva@example.org")
        problem(await house.user_http.post(USER, json=ANNA | {"email": "ANNA@EXAMPLE.ORG"}), 409, "/email")
        problem(await house.user_http.put(f"{USER}/2", json=ANNA), 409, "/email")
        assert (await house.user_http.get(f"{USER}/2")).json()["email"] == "eva@example.org"

    async def test_created_at_once_with_one_address_are_one(self, house: House) -> None:
        answers = await asyncio.gather(*(house.user_http.post(USER, json=ANNA) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]

    async def test_are_listed_in_pages(self, house: House) -> None:
        for number in range(5):
            await create_user(house, email=f"a{number}@b.example")
        seen: list[int] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = (await house.user_http.get(USER, params=query)).json()
            seen += [user["id"] for user in page["items"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert seen == [1, 2, 3, 4, 5]

    async def test_are_searched_literally(self, house: House, subtests: pytest.Subtests) -> None:
        await create_user(house, name="Zoë")
        await create_user(house, email="eva@example.org")
        cases: list[Any] = [
            ("ZOË", 1),
            ("zoe", 0),
            ("%", 0),
            ("_", 0),
            ("' OR 1=1--", 0),
            ('") |> yield()', 0),
            ("\\", 0),
            ("", 2),
        ]
        for query, found in cases:
            with subtests.test(query=str(query)[:60]):
                answer = await house.user_http.get(USER, params={"q": query})
                assert len(answer.json()["items"]) == found

    async def test_cannot_be_listed_with_nonsense(self, house: House, subtests: pytest.Subtests) -> None:
        cases: list[Any] = [
            ("limit=0", "?limit"),
            ("limit=-1", "?limit"),
            ("limit=1000000000", "?limit"),
            ("limit=x", "?limit"),
            ("cursor=x", "?cursor"),
            ("cursor=-1", "?cursor"),
            (f"cursor={HUGE}", "?cursor"),
            ("q=%00", "?q"),
            ("q=%1b[31m", "?q"),
        ]
        for query, pointer in cases:
            with subtests.test(query=str(query)[:60]):
                problem(await house.user_http.get(f"{USER}?{query}"), 422, pointer)

    async def test_that_do_not_exist_are_not_found(self, house: House, subtests: pytest.Subtests) -> None:
        await create_user(house)
        cases: list[Any] = ["99", "0", "-1", "x", "1.0", str(HUGE), "9" * 5000, "%00", "' OR 1=1--"]
        for user_id in cases:
            with subtests.test(user_id=str(user_id)[:60]):
                problem(await house.user_http.get(f"{USER}/{user_id}"), 404)
                problem(await house.user_http.delete(f"{USER}/{user_id}"), 404)
                problem(await house.user_http.put(f"{USER}/{user_id}", json=ANNA), 404)
                problem(await house.user_http.get(f"{USER}/{user_id}/erasure"), 404)

    async def test_with_a_bad_field_are_refused_by_its_name(self, house: House, subtests: pytest.Subtests) -> None:
        await create_user(house, email="eva@example.org")
        cases: list[Any] = [
            ({"name": ""}, "/name"),
            ({"name": "  "}, "/name"),
            ({"name": None}, "/name"),
            ({"name": 5}, "/name"),
            ({"name": "a" * 201}, "/name"),
            ({"name": "a\r\nBcc: b"}, "/name"),
            ({"name": "\x1b[31mred"}, "/name"),
            ({"name": "\u202egnp"}, "/name"),
            ({"name": "a\0"}, "/name"),
            ({"name": "\ud800"}, "/name"),
            ({"surname": "\n"}, "/surname"),
            ({"address": "a" * 501}, "/address"),
            ({"email": "a@b.example,c@d.example"}, "/email"),
            ({"email": "a@b.example\r\nBcc: c@d.example"}, "/email"),
            ({"email": ""}, "/email"),
            ({"email": f"{'a' * 250}@b.example"}, "/email"),
            ({"alerting": "true"}, "/alerting"),
            ({"alerting": 1}, "/alerting"),
            ({"energyAlertingThreshold": -1}, "/energyAlertingThreshold"),
            ({"energyAlertingThreshold": "12"}, "/energyAlertingThreshold"),
            ({"energyAlertingThreshold": True}, "/energyAlertingThreshold"),
            ({"timeZone": "Mars/Olympus"}, "/timeZone"),
            ({"timeZone": "../../etc/passwd"}, "/timeZone"),
            ({"id": -1}, "/id"),
            ({"id": HUGE}, "/id"),
            ({"id": "1"}, "/id"),
            ({"is_admin": True}, "/is_admin"),
            ({"version": 1}, "/version"),
        ]
        for fields, pointer in cases:
            with subtests.test(fields=str(fields)[:60]):
                body = json.dumps(ANNA | fields)
                headers = {"Content-Type": "application/json"}
                problem(await house.user_http.post(f"{USER}/create", content=body, headers=headers), 422, pointer)
                problem(await house.user_http.put(f"{USER}/1", content=body, headers=headers), 422, pointer)
                assert (await house.user_http.get(f"{USER}/1")).json()["email"] == "eva@example.org"

    async def test_that_cannot_be_read_are_refused(self, house: House, subtests: pytest.Subtests) -> None:
        cases: list[Any] = [
            ("", 422),
            ("{}", 422),
            ("[]", 422),
            ("null", 422),
            ('{"name": "A"', 400),
            ('{"name": "A", "name": "B"}', 400),
            ("[" * 100_000, 400),
            ('{"id": ' + "1" * 5000 + "}", 400),
            ('{"energyAlertingThreshold": NaN}', 422),
            ('{"energyAlertingThreshold": Infinity}', 422),
            ('{"energyAlertingThreshold": 1e400}', 422),
            ("a" * 1_000_001, 413),
        ]
        for body, status in cases:
            with subtests.test(body=str(body)[:60]):
                for method, path in (("POST", f"{USER}/create"), ("POST", USER), ("PUT", f"{USER}/1")):
                    headers = {"Content-Type": "application/json"}
                    answer = await house.user_http.request(method, path, content=body, headers=headers)
                    assert answer.status_code == status, answer.text
                    assert answer.headers["content-type"] == "application/problem+json"

    async def test_are_json_and_nothing_else(self, house: House) -> None:
        body = json.dumps(ANNA)
        for headers in ({"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}):
            problem(await house.user_http.post(USER, content=body, headers=headers), 415)

    async def test_are_stored_literally(self, house: House, subtests: pytest.Subtests) -> None:
        cases: list[Any] = ["' OR 1=1--", '") |> yield()', "<img src=x onerror=alert(1)>", "=1+1", "李 🏠 e\u0301"]
        for number, name in enumerate(cases):
            with subtests.test(name=str(name)[:60]):
                user = await create_user(house, name=name, address=name, email=f"a{number}@b.example")
                answer = (await house.user_http.get(f"{USER}/{user}")).json()
                assert (answer["name"], answer["address"]) == (name, name)

    async def test_that_must_not_have_another_id_than_their_path(self, house: House) -> None:
        await create_user(house)
        problem(await house.user_http.put(f"{USER}/1", json=ANNA | {"id": 2}), 422, "/id")


class TestDeletingAUser:
    async def test_says_when_everything_is_gone(self, house: House) -> None:
        await create_user(house)
        answer = await house.user_http.delete(f"{USER}/1")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["energy-tracker-erased-by"] == "2026-03-31T12:00:00Z"
        problem(await house.user_http.get(f"{USER}/1"), 404)
        problem(await house.user_http.put(f"{USER}/1", json=ANNA), 404)
        problem(await house.user_http.delete(f"{USER}/1"), 404)
        assert (await house.user_http.get(USER)).json() == {"items": [], "next": None}
        assert (await house.user_http.get(f"{USER}/1/erasure")).json() == {
            "userId": 1,
            "deleted": True,
            "deletedAt": "2026-03-01T12:00:00Z",
            "logsExpireAt": "2026-03-08T12:00:00Z",
            "deadLettersExpireAt": "2026-03-31T12:00:00Z",
        }

    async def test_frees_the_address_but_never_the_number(self, house: House) -> None:
        await create_user(house)
        await house.user_http.delete(f"{USER}/1")
        assert await create_user(house) == 2

    async def test_leaves_nothing_personal_in_the_database(self, house: House, tmp_path: Path) -> None:
        await create_user(house, name="Rumpelstilzchen", address="Wald 7")
        await create_device(house, name="Spinnrad", location="Schloss")
        await house.user_http.delete(f"{USER}/1")
        await erased(house, 1)
        async with read_transaction(house.engine) as connection:
            rows = (await connection.execute(text("SELECT id FROM user"))).all()
        assert len(rows) == 1
        content = (tmp_path / "relational.db").read_bytes().lower()
        for word in (b"rumpel", b"wald", b"anna@", b"spinnrad", b"schloss"):
            assert word not in content

    async def test_erases_its_devices_and_no_others(self, house: House) -> None:
        await create_user(house)
        await create_user(house, email="eva@example.org")
        gone, stays = await create_device(house), await create_device(house, userId=2)
        await house.user_http.delete(f"{USER}/1")
        await erased(house, gone)
        problem(await house.device_http.get(f"{DEVICE}/{gone}"), 404)
        assert (await house.device_http.get(f"{DEVICE}/{stays}")).status_code == 200
        assert (await house.device_http.get(DEVICE, params={"retired": "true"})).json()["items"] == []

    async def test_erases_its_devices_also_where_device_service_was_away(self, house: House, tmp_path: Path) -> None:
        await create_user(house)
        device = await create_device(house)
        house.to_users.cut = True
        await house.user_http.delete(f"{USER}/1")
        await house.clock.advance(10)
        assert (await house.device_http.get(f"{DEVICE}/{device}")).status_code == 200
        async with open_house(tmp_path) as restarted:
            await erased(restarted, device)


async def erased(house: House, device_id: int) -> None:
    async with asyncio.timeout(5):
        while True:
            await house.directory.refresh()
            if house.directory.device_is_erased(device_id):
                return
            await house.clock.advance(2)
            await asyncio.sleep(0.001)


class TestDevices:
    async def test_are_created_in_the_shape_they_are_sent(self, house: House) -> None:
        await create_user(house)
        body = {"name": "Fridge", "type": "REFRIGERATOR", "location": "Kitchen", "userId": 1}
        for number, path in enumerate((f"{DEVICE}/create", DEVICE), start=1):
            answer = await house.device_http.post(path, json=body)
            assert answer.status_code == 201
            assert answer.json() == {
                "id": number,
                **body,
                "kind": "interval",
                "direction": "import",
                "maxHold": "PT5M",
                "ratedPower": None,
                "parentId": None,
                "silentAfter": None,
            }
            assert answer.headers["location"] == f"{DEVICE}/{number}"
            read = await house.device_http.get(f"{DEVICE}/{number}")
            assert (read.json(), read.headers["etag"]) == (answer.json(), answer.headers["etag"])

    async def test_tell_how_their_readings_come(self, house: House) -> None:
        await create_user(house)
        parent = await create_device(house)
        more = {
            "kind": "power",
            "direction": "export",
            "maxHold": "PT90S",
            "ratedPower": 2300.5,
            "parentId": parent,
            "silentAfter": "P1D",
        }
        device = await create_device(house, **more)
        answer = (await house.device_http.get(f"{DEVICE}/{device}")).json()
        assert {field: answer[field] for field in more} == more | {"maxHold": "PT1M30S"}
        kept = {"name": "Plug", "type": "TV", "userId": 1}
        replaced = (await house.device_http.put(f"{DEVICE}/{device}", json=kept)).json()
        assert {field: replaced[field] for field in more} == more | {"maxHold": "PT1M30S"}
        nulls = dict.fromkeys(more)
        replaced = (await house.device_http.put(f"{DEVICE}/{device}", json=kept | nulls)).json()
        assert (replaced["ratedPower"], replaced["parentId"], replaced["silentAfter"]) == (None, None, None)
        assert (replaced["kind"], replaced["direction"], replaced["maxHold"]) == ("power", "export", "PT1M30S")
        assert (await house.device_http.put(f"{DEVICE}/{device}", json=replaced)).json() == replaced

    async def test_of_a_user_are_an_array(self, house: House) -> None:
        await create_user(house)
        await create_user(house, email="eva@example.org")
        first, _, third = [await create_device(house, userId=user_id) for user_id in (1, 2, 1)]
        answer = (await house.device_http.get(f"{DEVICE}/user/1")).json()
        assert [device["id"] for device in answer] == [first, third]
        assert (await house.device_http.get(f"{DEVICE}/user/99")).json() == []
        problem(await house.device_http.get(f"{DEVICE}/user/x"), 404)

    async def test_are_listed_searched_and_narrowed(self, house: House) -> None:
        await create_user(house)
        await create_user(house, email="eva@example.org")
        for number in range(3):
            await create_device(house, name=f"Plug {number}", userId=1 + number % 2, location="Küche")

        async def ids(**query: Any) -> list[int]:
            return [device["id"] for device in (await house.device_http.get(DEVICE, params=query)).json()["items"]]

        page = (await house.device_http.get(DEVICE, params={"limit": 2})).json()
        assert [device["id"] for device in page["items"]] == [1, 2]
        assert await ids(limit=2, cursor=page["next"]) == [3]
        assert await ids(userId=1) == [1, 3]
        assert await ids(q="KÜCHE") == [1, 2, 3]
        assert await ids(q="plug_") == []
        for query in ("limit=0", "userId=0", "userId=x", "retired=maybe", f"userId={HUGE}"):
            problem(await house.device_http.get(f"{DEVICE}?{query}"), 422, f"?{query.partition('=')[0]}")

    async def test_are_not_overwritten_by_who_has_not_seen_the_last_change(self, house: House) -> None:
        await create_user(house)
        await create_device(house)
        body = {"name": "Plug", "type": "TV", "userId": 1}
        old = (await house.device_http.get(f"{DEVICE}/1")).headers["etag"]
        assert (await house.device_http.put(f"{DEVICE}/1", json=body, headers={"If-Match": old})).status_code == 200
        problem(await house.device_http.put(f"{DEVICE}/1", json=body, headers={"If-Match": old}), 412)
        problem(await house.device_http.delete(f"{DEVICE}/1", headers={"If-Match": old}), 412)

    async def test_that_do_not_exist_are_not_found(self, house: House, subtests: pytest.Subtests) -> None:
        cases: list[Any] = ["99", "0", "-1", "x", str(HUGE), "1e3"]
        for device_id in cases:
            with subtests.test(device_id=str(device_id)[:60]):
                problem(await house.device_http.get(f"{DEVICE}/{device_id}"), 404)
                problem(await house.device_http.delete(f"{DEVICE}/{device_id}"), 404)
                body = {"name": "Plug", "type": "TV", "userId": 1}
                problem(await house.device_http.put(f"{DEVICE}/{device_id}", json=body), 404)

    async def test_with_a_bad_field_are_refused_by_its_name(self, house: House, subtests: pytest.Subtests) -> None:
        await create_user(house)
        await create_device(house)
        cases: list[Any] = [
            ({"name": ""}, "/name"),
            ({"name": "a\nb"}, "/name"),
            ({"location": "a" * 201}, "/location"),
            ({"type": "tv"}, "/type"),
            ({"type": "TOASTER"}, "/type"),
            ({"type": None}, "/type"),
            ({"userId": None}, "/userId"),
            ({"userId": 0}, "/userId"),
            ({"userId": "1"}, "/userId"),
            ({"userId": 1.0}, "/userId"),
            ({"userId": True}, "/userId"),
            ({"userId": HUGE}, "/userId"),
            ({"userId": 99}, "/userId"),
            ({"kind": "energy"}, "/kind"),
            ({"direction": "both"}, "/direction"),
            ({"maxHold": "PT0S"}, "/maxHold"),
            ({"maxHold": "P2D"}, "/maxHold"),
            ({"maxHold": "5 minutes"}, "/maxHold"),
            ({"maxHold": 300}, "/maxHold"),
            ({"ratedPower": 0}, "/ratedPower"),
            ({"ratedPower": -5}, "/ratedPower"),
            ({"ratedPower": "2300"}, "/ratedPower"),
            ({"parentId": 99}, "/parentId"),
            ({"parentId": 0}, "/parentId"),
            ({"silentAfter": "PT30S"}, "/silentAfter"),
            ({"owner_id": 1}, "/owner_id"),
            ({"retiredAt": None}, "/retiredAt"),
        ]
        for fields, pointer in cases:
            with subtests.test(fields=str(fields)[:60]):
                body = {"name": "Plug", "type": "MISC", "userId": 1} | fields
                document = problem(await house.device_http.post(f"{DEVICE}/create", json=body), 422, pointer)
                if pointer == "/type" and fields["type"] is not None:
                    assert "REFRIGERATOR" in document["errors"][0]["detail"]
                problem(await house.device_http.put(f"{DEVICE}/1", json=body), 422, pointer)

    async def test_have_a_parent_of_the_same_user_and_never_a_circle(self, house: House) -> None:
        await create_user(house)
        await create_user(house, email="eva@example.org")
        first = await create_device(house)
        second = await create_device(house, parentId=first)
        foreign = await create_device(house, userId=2)
        body = {"name": "Plug", "type": "TV", "userId": 1}
        for parent in (first, second, foreign):
            answer = await house.device_http.put(f"{DEVICE}/{first}", json=body | {"parentId": parent})
            problem(answer, 422, "/parentId")

    async def test_made_each_others_parent_at_once_are_not_both(self, house: House) -> None:
        await create_user(house)
        first, second = await create_device(house), await create_device(house)
        body = {"name": "Plug", "type": "TV", "userId": 1}
        answers = await asyncio.gather(
            house.device_http.put(f"{DEVICE}/{first}", json=body | {"parentId": second}),
            house.device_http.put(f"{DEVICE}/{second}", json=body | {"parentId": first}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 422]

    async def test_that_are_retired_keep_their_history_and_release_what_is_below(self, house: House) -> None:
        await create_user(house)
        main = await create_device(house)
        sub = await create_device(house, parentId=main)
        answer = await house.device_http.delete(f"{DEVICE}/{main}")
        assert (answer.status_code, answer.content) == (204, b"")
        problem(await house.device_http.get(f"{DEVICE}/{main}"), 404)
        problem(await house.device_http.delete(f"{DEVICE}/{main}"), 404)
        assert [device["id"] for device in (await house.device_http.get(f"{DEVICE}/user/1")).json()] == [sub]
        (retired,) = (await house.device_http.get(DEVICE, params={"retired": "true"})).json()["items"]
        assert (retired["id"], retired["retiredAt"]) == (main, "2026-03-01T12:00:00Z")
        assert (await house.device_http.get(f"{DEVICE}/{sub}")).json()["parentId"] is None
        problem(
            await house.device_http.post(DEVICE, json={"name": "P", "type": "TV", "userId": 1, "parentId": main}),
            422,
            "/parentId",
        )
        await house.directory.refresh()
        now_ms = house.clock.now_ms()
        before = house.directory.assignment_at(sub, now_ms - 1)
        assert before is not None
        assert before.parent_id == main

    async def test_that_move_leave_their_parent_and_what_is_below_behind(self, house: House) -> None:
        await create_user(house)
        await create_user(house, email="eva@example.org")
        main = await create_device(house)
        middle = await create_device(house, parentId=main)
        below = await create_device(house, parentId=middle)
        answer = await house.device_http.put(f"{DEVICE}/{middle}", json={"name": "P", "type": "TV", "userId": 2})
        assert answer.json()["parentId"] is None
        assert (await house.device_http.get(f"{DEVICE}/{below}")).json()["parentId"] is None
        await house.directory.refresh()
        now_ms = house.clock.now_ms()
        assert [house.directory.owner_at(middle, at) for at in (now_ms - 1, now_ms)] == [1, 2]

    async def test_are_taken_on_trust_while_user_service_is_away(self, house: House) -> None:
        house.to_users.cut = True
        await create_device(house, userId=77)
        house.to_users.cut = False
        problem(await house.device_http.post(DEVICE, json={"name": "P", "type": "TV", "userId": 77}), 422, "/userId")
        await create_user(house)
        await create_device(house, userId=1)

    async def test_cannot_be_given_to_a_deleted_user(self, house: House) -> None:
        await create_user(house)
        await create_device(house, userId=1)  # from here on device-service has a copy of the user
        await house.user_http.delete(f"{USER}/1")
        problem(await house.device_http.post(DEVICE, json={"name": "P", "type": "TV", "userId": 1}), 422, "/userId")


def take_away(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.mkdir()


def bring_back(path: Path) -> None:
    path.rmdir()
    path.with_suffix(".away").rename(path)


class TestBothServices:
    async def test_are_up_and_describe_themselves(self, house: House) -> None:
        for http, name in ((house.user_http, "user"), (house.device_http, "device")):
            assert (await http.get("/actuator/health")).json()["status"] == "UP"
            document = (await http.get("/openapi.json")).json()
            assert f"/api/v1/{name}/{{id}}" in document["paths"]

    async def test_tell_their_changes_in_order(self, house: House) -> None:
        for number in range(3):
            await create_user(house, email=f"a{number}@b.example")
        first = (await house.user_http.get(f"{USER}/changes", params={"after": 0, "limit": 2})).json()
        assert ([item["id"] for item in first["items"]], first["version"], first["more"]) == ([1, 2], 2, True)
        rest = (await house.user_http.get(f"{USER}/changes", params={"after": 2})).json()
        assert ([item["id"] for item in rest["items"]], rest["version"], rest["more"]) == ([3], 3, False)
        for http, path in ((house.user_http, USER), (house.device_http, DEVICE)):
            for query in ("after=-1", "after=x", f"after={HUGE}", "limit=0"):
                problem(await http.get(f"{path}/changes?{query}"), 422, f"?{query.partition('=')[0]}")

    async def test_say_when_the_database_is_gone_and_never_answer_an_empty_list(
        self, house: House, tmp_path: Path
    ) -> None:
        await create_user(house)
        await house.engine.dispose()
        take_away(tmp_path / "relational.db")
        for http, calls in (
            (house.user_http, (USER, f"{USER}/1", f"{USER}/changes")),
            (house.device_http, (DEVICE, f"{DEVICE}/1", f"{DEVICE}/user/1")),
        ):
            for call in calls:
                answer = await http.get(call)
                problem(answer, 503)
                assert answer.headers["retry-after"]
            health = await http.get("/actuator/health")
            assert (health.status_code, health.json()["status"]) == (503, "DOWN")
        bring_back(tmp_path / "relational.db")
        assert (await house.user_http.get("/actuator/health")).status_code == 200
        assert (await house.user_http.get(f"{USER}/1")).status_code == 200
