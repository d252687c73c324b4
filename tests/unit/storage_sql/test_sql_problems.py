import asyncmy.errors
import pytest
from sqlalchemy import exc

from energy_tracker.kit.problems import Problem, StorageFull, TemporarilyUnavailable
from energy_tracker.storage.sql_problems import DatabaseRefuses, TransactionUndone, database_problems
from energy_tracker.storage.whole_transactions import ATTEMPTS, repeated


def server_error(number: int, words: str = "words", *, lost: bool = False) -> exc.OperationalError:
    return exc.OperationalError("", {}, asyncmy.errors.OperationalError(number, words), connection_invalidated=lost)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (server_error(1021), StorageFull),
        (server_error(1114, "The table 'user' is full"), StorageFull),
        (server_error(1030, 'Got error 28 "No space left on device" from storage engine InnoDB'), StorageFull),
        (server_error(3, "Error writing file './x' (OS errno 28 - No space left on device)"), StorageFull),
        (server_error(1213), TransactionUndone),
        (server_error(1205), TransactionUndone),
        (server_error(2013, lost=True), TransactionUndone),
        (server_error(1053), TransactionUndone),
        (server_error(1045, "Access denied for user 'a'@'b' (using password: YES)"), DatabaseRefuses),
        (server_error(1049, "Unknown database 'x'"), DatabaseRefuses),
        (server_error(2003, "[SSL: CERTIFICATE_VERIFY_FAILED]"), DatabaseRefuses),
        (server_error(2003), TemporarilyUnavailable),
        (server_error(1040), TemporarilyUnavailable),
        (server_error(1290), TemporarilyUnavailable),
        (server_error(3024), TemporarilyUnavailable),
        (server_error(1054, "Unknown column 'x'"), exc.OperationalError),
    ],
)
def test_the_errors_of_a_server_become_problems_and_mistakes_stay_what_they_are(
    error: exc.OperationalError, problem: type[Exception]
) -> None:
    with pytest.raises(problem) as caught, database_problems():
        raise error
    assert type(caught.value) is problem


def test_a_connection_that_is_lost_at_the_commit_leaves_it_open_what_has_happened() -> None:
    def commit() -> None:
        with database_problems() as attempt:
            attempt.committing = True
            raise server_error(2013, lost=True)

    with pytest.raises(TemporarilyUnavailable) as caught:
        commit()
    assert not isinstance(caught.value, TransactionUndone)


async def test_an_undone_transaction_is_repeated_but_not_for_ever() -> None:
    runs = 0

    @repeated
    async def undone(until: int) -> int:
        nonlocal runs
        runs += 1
        if runs < until:
            raise TransactionUndone("undone")
        return runs

    assert await undone(3) == 3
    runs = 0
    with pytest.raises(TransactionUndone):
        await undone(1_000)
    assert runs == ATTEMPTS


async def test_another_problem_is_not_repeated() -> None:
    runs = 0

    @repeated
    async def down() -> None:
        nonlocal runs
        runs += 1
        raise TemporarilyUnavailable("down")

    with pytest.raises(Problem):
        await down()
    assert runs == 1
