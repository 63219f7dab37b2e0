"""The one thread of a process that talks to its collector, and what it knows of each signal's way there."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable

from mlotel._runtime import guard, logger
from mlotel.sdk._settings import Signal
from mlotel.sdk._transport import Answer, Transport

__all__ = ["Courier", "Lane", "Task"]

_PAUSES_S = (1.0, 30.0)
"""How long nothing is sent after a failure: twice as long after each, from the first to the last."""


class Lane:
    """The way of one signal to the collector: open, closed for a while after a failure, or closed for good.

    Args:
        signal: the signal.
        transport: what sends its requests.
        kept: whether what does not arrive is kept, for the warning.
        clock: seconds of a clock that goes on evenly.
    """

    def __init__(
        self, signal: Signal, transport: Transport, *, kept: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.signal = signal
        self.failing = False
        """Whether the latest request did not arrive."""
        self.refused = False
        """Whether the backend takes none of this signal, ever."""
        self._transport = transport
        self._kept = kept
        self._clock = clock
        self._failures = 0
        self._open_at = float("-inf")
        self._random = random.Random()  # not the one that a pipeline seeds

    @property
    def opens_in(self) -> float:
        """Seconds until something may be sent again; 0 where it may be now."""
        return float("inf") if self.refused else max(self._open_at - self._clock(), 0.0)

    def send(self, body: bytes, *, json: bool = False) -> Answer:
        """Send a request, if the lane is open, and learn from the answer."""
        if self.refused:
            return Answer("refused", f"{self._transport.endpoint} takes no {self.signal}")
        if self.opens_in > 0:
            return Answer("later", f"{self._transport.endpoint} is left alone for {self.opens_in:.0f} s")
        answer = self._transport.send_json(body) if json else self._transport.send(body)
        if answer.outcome in ("taken", "malformed"):
            self.failing, self._failures = False, 0
        elif answer.outcome == "refused":
            self._refuse(answer)
        else:
            shortest, longest = _PAUSES_S
            pause = min(shortest * 2**self._failures, longest) * self._random.uniform(0.8, 1.2)
            self._failures = min(self._failures + 1, 10)
            self._open_at = self._clock() + max(pause, answer.retry_after_s)
            self.tell(answer.detail)
        return answer

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def tell(self, detail: str) -> None:
        """Warn, once until something arrives again, that this signal does not."""
        if self.failing:
            return
        self.failing = True
        then = (
            "kept, and sent once it takes them, or by 'mlotel replay'"
            if self._kept
            else "kept in memory, as far as there is room: there is no store"
        )
        logger.warning(
            "mlotel: %s could not be sent to %s (%s): they are %s", self.signal, self._transport.endpoint, detail, then
        )

    def _refuse(self, answer: Answer) -> None:
        self.refused = True
        # traces are the data: who refuses them may be a mistyped path or a proxy, so they are kept in any case
        self.failing = self.signal == "traces"
        then = "they are not sent any more"
        if self.signal == "traces" and self._kept:
            then = "they are kept for 'mlotel replay'"
        logger.warning("mlotel: %s takes no %s (%s): %s", self._transport.endpoint, self.signal, answer.detail, then)


class Task:
    """Something for the courier to do, which can be withdrawn until it is begun."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._claim = threading.Lock()
        self._done = threading.Event()

    def withdraw(self) -> bool:
        """Return whether nothing has been done yet; then nothing will be."""
        return self._claim.acquire(blocking=False)

    def run(self) -> None:
        """Do it, unless it was withdrawn."""
        if self._claim.acquire(blocking=False):
            try:
                self._work()
            except Exception as error:
                guard("sending to the collector", error)
            finally:
                self._done.set()

    def wait(self, give_up: Callable[[float], bool]) -> bool:
        """Wait until it is done; return whether it was before `give_up`, told how many seconds have passed, said so."""
        begun = time.monotonic()
        while not self._done.wait(0.05):
            if give_up(time.monotonic() - begun):
                return self._done.is_set()
        return True


class Courier:
    """Does tasks in order in a thread of its own, and something else while there are none.

    A collector that hangs holds up this thread and nobody else.

    Args:
        idle: what to do while there is nothing; it is handed what tells whether something has come, and returns in how
            many seconds it wants to be called again.
        end: what to do at the end, in the thread.
    """

    def __init__(self, idle: Callable[[Callable[[], bool]], float], end: Callable[[], None]) -> None:
        self._idle = idle
        self._end = end
        # started now: at interpreter exit no thread can be started any more (Python 3.12)
        self._start()

    def submit(self, work: Callable[[], object]) -> Task:
        """Return a task that will be done when its turn comes."""
        task = Task(work)
        if not self._thread.is_alive():  # as in a forked child
            try:
                self._start()
            except RuntimeError:
                task.run()
                return task
        self._tasks.put(task)
        return task

    def stop(self) -> None:
        """End the thread after what is to be done; nothing is waited for."""
        self._tasks.put(None)

    def _start(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(self._tasks,), name="mlotel-courier", daemon=True)
        self._thread.start()

    def _run(self, tasks: queue.SimpleQueue[Task | None]) -> None:
        look_at = time.monotonic() + 1.0
        while True:
            try:
                task = tasks.get(timeout=max(look_at - time.monotonic(), 0.0))
                if task is None:
                    break
                task.run()
            except queue.Empty:
                pass
            if time.monotonic() >= look_at:
                look_at = self._look_around(tasks) + time.monotonic()
        self._end()

    def _look_around(self, tasks: queue.SimpleQueue[Task | None]) -> float:
        try:
            return max(self._idle(lambda: not tasks.empty()), 0.05)
        except Exception as error:
            guard("sending what is in the spool", error)
            return _PAUSES_S[1]
