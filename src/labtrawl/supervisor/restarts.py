"""When a crashed program starts again. Pure: time and chance are arguments."""

from dataclasses import dataclass

CONFIG_EXIT_CODE = 78
"""EX_CONFIG of sysexits.h: the program cannot work with its settings; trying at once is useless."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The figures, in seconds; the reasons are in docs/explanation/reliability.md."""

    base_seconds: float = 0.25
    ceiling_seconds: float = 30.0
    crashes: int = 5
    window_seconds: float = 60.0
    steady_seconds: float = 10.0
    retry_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a crash."""

    wait_seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class CrashHistory:
    """The crashes since the program last ran steadily; `failed` while it is on probation."""

    policy: RestartPolicy
    times: tuple[float, ...] = ()
    failed: bool = False

    def crashed(
        self, now: float, ready_seconds: float, exit_code: int | None, random: float
    ) -> tuple["CrashHistory", Verdict]:
        """Judge one more crash after `ready_seconds` of work; `random` is in 0 … 1."""
        policy = self.policy
        steady = ready_seconds >= policy.steady_seconds
        times = (*(() if steady else self.times), now)
        recent = [time for time in times if now - time <= policy.window_seconds]
        on_probation = self.failed and not steady
        if on_probation or exit_code == CONFIG_EXIT_CODE or len(recent) > policy.crashes:
            return CrashHistory(policy, (), failed=True), Verdict(policy.retry_seconds, failed=True)
        return CrashHistory(policy, times), Verdict(self._wait(len(times), random), failed=False)

    def _wait(self, crashes: int, random: float) -> float:
        if crashes == 1:
            return 0.0
        ceiling: float = min(
            self.policy.ceiling_seconds, self.policy.base_seconds * 2.0 ** min(crashes - 1, 30)
        )
        return ceiling * random
