import pytest
from tests.support.usage_queries import Home


@pytest.fixture
def home():
    return Home()


@pytest.fixture
async def client(home):
    async with home.client() as client:
        yield client
