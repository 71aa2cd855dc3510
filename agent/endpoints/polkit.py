"""The polkit rule that lets the daemon tell exactly the configured units.

It knows what systemd asks polkit before KillUnit and ReloadUnit: the action
`org.freedesktop.systemd1.manage-units` with the details `unit` and `verb`. It writes
text and installs nothing.
"""

import json
from collections.abc import Iterable
from typing import Final, Literal

from agent.config.endpoints import Reload

Verb = Literal["kill", "reload"]
"""What systemd calls KillUnit and ReloadUnit when it asks polkit."""

_RULE: Final = """\
// Lets {user} tell its TLS endpoints to pick up a new certificate; nothing else.
// systemd does not tell polkit which signal: "kill" allows any signal to that unit.
// Install as /etc/polkit-1/rules.d/49-nfcertd.rules, owner root, mode 0644.
polkit.addRule(function (action, subject) {{
    if (action.id !== "org.freedesktop.systemd1.manage-units" ||
            subject.user !== {user}) {{
        return polkit.Result.NOT_HANDLED;
    }}
    var allowed = [
{pairs}
    ];
    for (var i = 0; i < allowed.length; i++) {{
        if (action.lookup("unit") === allowed[i][0] &&
                action.lookup("verb") === allowed[i][1]) {{
            return polkit.Result.YES;
        }}
    }}
    return polkit.Result.NOT_HANDLED;
}});
"""


def needed(reloads: Iterable[Reload]) -> tuple[tuple[str, Verb], ...]:
    """Return the unit and verb of each reload that goes through systemd, once each."""
    verbs: dict[str, Verb] = {"signal": "kill", "reload": "reload"}
    found = {(each.unit, verbs[each.verb]) for each in reloads if each.unit is not None}
    return tuple(sorted(found))


def rules(units: Iterable[tuple[str, Verb]], user: str = "nfcertd") -> str:
    """Return a rules file for polkit >= 0.106 (JavaScript).

    Whatever the names hold is quoted as ASCII JSON strings, which are JavaScript
    strings too, so that no name can add a rule or leave its comment.

    >>> print(rules([("nginx.service", "kill")]).splitlines()[9].strip())
    ["nginx.service", "kill"]
    """
    pairs = ",\n".join(
        f"        [{json.dumps(unit)}, {json.dumps(verb)}]" for unit, verb in units
    )
    return _RULE.format(user=json.dumps(user), pairs=pairs)
