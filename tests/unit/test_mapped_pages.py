"""Which mappings may lose their pages, and that losing them harms nobody."""

from pathlib import Path

from agent.files import clean_code, release_code_pages

HEADER = "{perms} 00000000 08:01 4711 {path}"
DETAILS = "Size: 4 kB\nRss: 4 kB\nAnonymous: {anonymous} kB\nVmFlags: rd mr"
CASES = {
    "code of a library": ("r-xp", "/usr/lib/libc.so.6", 0, True),
    "code whose file has a space in its name": ("r-xp", "/tmp/a file", 0, True),
    "code with a breakpoint": ("r-xp", "/usr/lib/libc.so.6", 4, False),
    "constants, which may be relocated": ("r--p", "/usr/lib/libc.so.6", 0, False),
    "a file that was replaced": ("r-xp", "/usr/lib/libc.so.6 (deleted)", 0, True),
    "variables of a library": ("rw-p", "/usr/lib/libc.so.6", 0, False),
    "the heap": ("rw-p", "[heap]", 0, False),
    "the kernel's own": ("r-xp", "[vdso]", 0, False),
    "memory without a name": ("r--p", "", 0, False),
    "a guard": ("---p", "/usr/lib/libc.so.6", 0, False),
}


def test_only_code_whose_pages_are_all_in_a_file_is_named() -> None:
    """Anything writable, nameless, relocatable or with a page of its own stays."""
    lines, wanted = [], []
    for number, (perms, path, anonymous, clean) in enumerate(CASES.values(), start=1):
        start = number << 16
        header = HEADER.format(perms=perms, path=path)
        lines.append(f"{start:x}-{start + 4096:x} {header}")
        lines.append(DETAILS.format(anonymous=anonymous))
        if clean:
            wanted.append((start, 4096))
    assert list(clean_code("\n".join(lines))) == wanted


def test_this_process_lives_on_without_its_code_pages() -> None:
    """There is such code here, its pages go, and they come back when used."""
    smaps = Path("/proc/self/smaps").read_text()
    assert list(clean_code(smaps))
    before = _resident()
    release_code_pages()
    assert _resident() < before
    assert sorted("cab") == ["a", "b", "c"]


def _resident() -> int:
    """Return the resident pages of files, as the kernel counts them."""
    return int(Path("/proc/self/statm").read_text().split()[2])
