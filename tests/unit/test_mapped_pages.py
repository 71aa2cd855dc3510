"""Which mappings may lose their pages, and that losing them harms nobody."""

from pathlib import Path

from agent.files import clean_mappings, release_mapped_pages

HEADER = "{perms} 00000000 08:01 4711 {path}"
DETAILS = "Size: 4 kB\nRss: 4 kB\nAnonymous: {anonymous} kB\nVmFlags: rd mr"
CASES = {
    "code of a library": ("r-xp", "/usr/lib/libc.so.6", 0, True),
    "constants of a library": ("r--p", "/usr/lib/libc.so.6", 0, True),
    "a file whose name has a space": ("r--p", "/tmp/a file", 0, True),
    "a file that was replaced": ("r-xp", "/usr/lib/libc.so.6 (deleted)", 0, True),
    "relocated constants": ("r--p", "/usr/lib/libc.so.6", 4, False),
    "variables of a library": ("rw-p", "/usr/lib/libc.so.6", 0, False),
    "the heap": ("rw-p", "[heap]", 0, False),
    "the kernel's own": ("r-xp", "[vdso]", 0, False),
    "memory without a name": ("r--p", "", 0, False),
    "a guard": ("---p", "/usr/lib/libc.so.6", 0, False),
}


def test_only_mappings_whose_pages_are_all_in_a_file_are_named() -> None:
    """Anything writable, nameless or with a page of its own is left alone."""
    lines, wanted = [], []
    for number, (perms, path, anonymous, clean) in enumerate(CASES.values(), start=1):
        start = number << 16
        header = HEADER.format(perms=perms, path=path)
        lines.append(f"{start:x}-{start + 4096:x} {header}")
        lines.append(DETAILS.format(anonymous=anonymous))
        if clean:
            wanted.append((start, 4096))
    assert list(clean_mappings("\n".join(lines))) == wanted


def test_this_process_lives_on_without_its_mapped_pages() -> None:
    """There are such mappings here, their pages go, and code comes back when used."""
    smaps = Path("/proc/self/smaps").read_text()
    assert list(clean_mappings(smaps))
    before = _resident()
    release_mapped_pages()
    assert _resident() < before
    assert sorted("cab") == ["a", "b", "c"]


def _resident() -> int:
    """Return the resident pages of files, as the kernel counts them."""
    return int(Path("/proc/self/statm").read_text().split()[2])
