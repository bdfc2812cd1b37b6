# SPDX-License-Identifier: Apache-2.0
"""What Azure and its SDK say, as one plain line that gives no secret away."""

import re
from urllib.parse import urlsplit

_LONGEST = 400
"""Characters: some answers list every region or every size there is."""

_SECRETS = (
    # Of a shared access signature the signature alone is secret, and it is one parameter among others
    # (https://learn.microsoft.com/rest/api/storageservices/create-service-sas).
    (re.compile(r"(?<=[?&;])sig=[^&\s\"'<>)]+", re.IGNORECASE), "sig=REDACTED"),
    (re.compile(r"(?<=AccountKey=)[^;\s]+", re.IGNORECASE), "REDACTED"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}(\.[\w-]*)?"), "TOKEN"),
)
_SUPPORT = re.compile(
    r"\s*(Trace ID:|Correlation ID:|RequestId:|Policy identifiers:|To mitigate this issue).*", re.DOTALL
)
"""What follows is for Microsoft's support, or a document."""
_HOST = re.compile(r"HTTPS?Connection(?:Pool)?\(host='([^']*)', port=\d+\)")
"""How urllib3 begins to tell what went wrong."""
_PROXY = re.compile(r"""\('(Unable to connect to proxy)', \w+\((["'])(.*?)\2\)\)""")
"""How it tells of a proxy: as a tuple, with what went wrong as an object."""
_OPENSSL = re.compile(r"\[SSL: \w+\] | \(_ssl\.c:\d+\)")


def one_line(text: str) -> str:
    """Return TEXT in one line of at most some hundred characters, without its full stop and without secrets."""
    words = " ".join(_SUPPORT.sub("", text).split()).rstrip(". ")
    for pattern, instead in _SECRETS:
        words = pattern.sub(instead, words)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST].rstrip()} ..."


def on_the_line(error: Exception) -> str:
    """Return what an ERROR on the line says in the house's form, such as `HOST: Failed to resolve ...`."""
    text = one_line(plain_hosts(_words(error))) or type(error).__name__
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def plain_hosts(text: str) -> str:
    """Return TEXT without the objects of urllib3 and the places in OpenSSL that name no more than a host."""
    return _PROXY.sub(r"\1: \3", _OPENSSL.sub("", _HOST.sub(r"\1", text)))


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an https URL, of which Azure writes the port in some of its answers.

    The recordings of Azure's own SDKs have both (Azure/azure-sdk-for-js, sdk/eventgrid/arm-eventgrid/recordings).
    """
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or 443


def is_url(text: str, *schemes: str) -> bool:
    """Tell whether TEXT is a URL with a host and one of SCHEMES."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets that are open, or of a port that is no number
        return False


def is_certificate(text: str) -> bool:
    """Tell whether TEXT is about a server's certificate that is not trusted."""
    return "certificate verify failed" in text.lower()


def _words(error: Exception) -> str:
    """Return the text of ERROR, which requests and urllib3 have wrapped in others."""
    inner = getattr(error, "inner_exception", None) or getattr(error, "reason", None)
    if isinstance(inner, Exception) and inner is not error:
        return _words(inner)
    if error.args and any(isinstance(part, Exception) for part in error.args):
        parts = [_words(part) if isinstance(part, Exception) else str(part).rstrip(".") for part in error.args]
        return ": ".join(parts)
    return str(error)
