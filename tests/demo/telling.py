"""What the demo says: numbered headings with the time, facts in columns, quotations."""

import time


class Teller:
    """Writes the story to standard output, line by line as it happens."""

    def __init__(self) -> None:
        """Start the clock that the headings show."""
        self._began = time.monotonic()
        self._steps = 0

    def heading(self, text: str) -> None:
        """Begin a step."""
        self._steps += 1
        spent = time.monotonic() - self._began
        print(f"\n{self._steps}. {text} {'-' * (64 - len(text))} {spent:5.1f} s")

    def fact(self, name: str, value: object) -> None:
        """State one thing."""
        print(f"   {name:<22} {value}", flush=True)

    def remark(self, text: str) -> None:
        """Say a sentence."""
        print(f"   {text}", flush=True)

    def quote(self, text: str, command: str = "") -> None:
        """Show what a program said, and how it was asked."""
        if command:
            print(f"   $ {command}")
        for line in text.rstrip().splitlines():
            print(f"   | {line}", flush=True)
