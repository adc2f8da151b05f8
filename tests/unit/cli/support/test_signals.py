"""SIGTERM and SIGHUP as exceptions, within this process."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from roomrec_async.cli.support.signals import TerminatedError, raise_on_signals, run_async


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_raises_in_the_block_and_not_after_it(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(TerminatedError, match=f"ended by {number.name}") as caught, raise_on_signals():
        signal.raise_signal(number)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_a_coroutine_which_cleans_up(number: signal.Signals) -> None:
    before, steps = signal.getsignal(number), []

    async def main() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with pytest.raises(TerminatedError, match=number.name):
        run_async(main())
    assert steps == ["cleaned up"]
    assert signal.getsignal(number) is before


def test_a_coroutine_returns_its_result_in_other_threads_too() -> None:
    async def main() -> int:
        return 5

    assert run_async(main()) == 5
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run_async, main()).result() == 5


def test_a_cancellation_of_another_cause_stays_one() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_async(main())
