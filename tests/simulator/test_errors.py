"""The API's error responses, over raw HTTP: unknown paths and unsupported methods."""

import pytest

from .raw_http import refused, room_list


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/Rooms/x/y", "/v2/Rooms", "/v1/Rooms/"])
async def test_an_unknown_path_is_404(sim, http, path):
    await refused(http, sim.base_url + path, 404, 20404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(sim, http, method):
    async with http.request(method, room_list(sim, sim.room_sids[0])) as response:
        assert (response.status, (await response.json())["code"]) == (405, 20004)
        assert response.headers["Allow"] == "GET"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS", "HEAD", "DELETE"])
async def test_the_allow_header_lists_the_methods_of_a_path(sim, http, method):
    recording = f"RT{'0' * 32}"
    for path, allowed in (
        ("/v1/Rooms", {"GET"}),
        (f"/v1/Rooms/{sim.room_sids[0]}", {"GET"}),
        ("/v1/Recordings", {"GET"}),
        (f"/v1/Recordings/{recording}", {"GET", "DELETE"}),
        (f"/v1/Recordings/{recording}/Media", {"GET"}),
        (f"/v1/Rooms/{sim.room_sids[0]}/Recordings/{recording}", {"GET", "DELETE"}),
        (f"/v1/Rooms/{sim.room_sids[0]}/Recordings/{recording}/Media", {"GET"}),
    ):
        if method in allowed:
            continue
        async with http.request(method, sim.base_url + path) as response:
            assert response.status == 405
            assert set(response.headers["Allow"].split(",")) == allowed
