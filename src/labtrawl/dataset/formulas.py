"""No cell of what we write as CSV is a formula, whatever GitLab or a person wrote into it.

Standard library only: the website writes CSV too, and does not load an analytics engine for it.
"""

import re
from typing import Final

# What a spreadsheet takes for a formula, in half and full width (OWASP, CSV Injection).
FORMULA: Final = r"^'*[=+\-@\t\r\n\x00" + "\uff1d\uff0b\uff0d\uff20]"
_FORMULA: Final = re.compile(FORMULA)


def harmless(text: str) -> str:
    """Return a text for a cell of CSV: a `'` before what a spreadsheet would take for a formula.

    What begins with `'` before such a text gets one more, so taking the first away restores it.
    """
    return "'" + text if _FORMULA.match(text) else text
