"""user-service's calls, typed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from energy_tracker.clients.http import ServiceCalls
from energy_tracker.contracts.directory import UserChanges
from energy_tracker.contracts.user import UserAnswer, UserBody, UserErasure, UserPage

PATH = "/api/v1/user"


@dataclass(frozen=True, slots=True)
class UserClient:
    """Users as user-service knows them. Every call raises `RemoteProblem` and `ServiceUnavailable`."""

    calls: ServiceCalls

    async def create(self, user: UserBody) -> UserAnswer:
        """Create a user; the service gives its id."""
        return self.calls.model(UserAnswer, await self.calls.call("POST", "/create", body=user))

    async def read(self, user_id: int) -> UserAnswer:
        """Return a user."""
        user, _ = await self.read_tagged(user_id)
        return user

    async def read_tagged(self, user_id: int) -> tuple[UserAnswer, str]:
        """Return a user and its entity tag, to be given to `replace`."""
        response = await self.calls.call("GET", f"/{user_id}")
        return self.calls.model(UserAnswer, response), response.headers["etag"]

    async def replace(self, user_id: int, user: UserBody, *, tag: str | None = None) -> UserAnswer:
        """Replace a user; with a `tag`, only that version of it (412 otherwise)."""
        headers = {} if tag is None else {"If-Match": tag}
        return self.calls.model(UserAnswer, await self.calls.call("PUT", f"/{user_id}", body=user, headers=headers))

    async def delete(self, user_id: int) -> None:
        """Delete a user and, through the other services, everything of it."""
        await self.calls.call("DELETE", f"/{user_id}")

    async def erasure(self, user_id: int) -> UserErasure:
        """Return what becomes of a deleted user's data."""
        return self.calls.model(UserErasure, await self.calls.call("GET", f"/{user_id}/erasure"))

    async def page(self, *, text: str = "", cursor: str | None = None, limit: int = 50) -> UserPage:
        """Return a page of the users whose name, surname or e-mail address holds `text`."""
        query: dict[str, str | int] = {"limit": limit, "q": text}
        if cursor is not None:
            query["cursor"] = cursor
        return self.calls.model(UserPage, await self.calls.call("GET", query=query))

    async def iterate(self, *, text: str = "") -> AsyncIterator[UserAnswer]:
        """Yield all users that match, page by page."""
        cursor: str | None = None
        while True:
            page = await self.page(text=text, cursor=cursor, limit=500)
            for user in page.items:
                yield user
            cursor = page.next
            if cursor is None:
                return

    async def changes(self, *, after: int, limit: int = 500) -> UserChanges:
        """Return what changed after a version; tried once, since whoever follows changes asks again anyway."""
        query: dict[str, str | int] = {"after": after, "limit": limit}
        return self.calls.struct(UserChanges, await self.calls.call("GET", "/changes", query=query, attempts=1))
