"""SIDs that are computed from numbers, and lead back to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomrec_async.simulator import Account


@given(index=st.integers(0, 2**31 - 1), seed=st.integers())
def test_sids_lead_back_to_their_rooms(index, seed):
    account = Account(seed, 2**31, (0, 2**31))
    sid = account.room_sids[index]
    assert len(sid) == 34
    assert sid in account.room_sids
    assert account.room_sids.index(sid) == index
    assert account.find_room(sid) == account.room(index)


@given(place=st.integers(2, 33), digit=st.sampled_from("0123456789abcdef"), index=st.integers(0, 99))
def test_a_changed_sid_is_unknown(place, digit, index):
    account = Account(0, 100)
    sid = account.room_sids[index]
    changed = sid[:place] + digit + sid[place + 1 :]
    assert (changed in account.room_sids) == (changed == sid)


def test_room_sids_are_a_sequence():
    sids = Account(0, 10).room_sids
    every = list(sids)
    assert len(set(every)) == len(sids) == 10
    assert list(sids[2:8:3]) == every[2:8:3]
    assert list(reversed(sids)) == every[::-1]
    assert sids[-1] == every[-1]
    assert every[5] not in sids[6:]
    assert 5 not in sids
    for missing in (lambda: sids.index(every[5], 6), lambda: sids.index("RM"), lambda: sids.index(None)):
        with pytest.raises(ValueError, match="not in the sequence"):
            missing()
    with pytest.raises(IndexError):
        sids[10]
