"""The client of the operator."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from typing import List, Optional, Sequence

from ._answers import answer
from ._http import JsonBody, Transport, segment


@dataclass(frozen=True)
class MintedToken:
    name: str
    #: The secret. It is shown here and never again.
    token: str = field(repr=False)
    ip_cidrs: List[str]
    created_at: int


@dataclass(frozen=True)
class TokenInfo:
    """Times are Unix seconds."""

    name: str
    ip_cidrs: List[str]
    created_at: int
    last_used_at: Optional[int] = None
    revoked_at: Optional[int] = None


class ForgeAdmin:
    """
    The operator's client of clawdforge. Its parameters are those of `Forge`, except that the token is by default
    `CLAWDFORGE_ADMIN_TOKEN`.
    """

    def __init__(
        self,
        base_url: Optional[str] = None,
        token: Optional[str] = None,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        proxy: Optional[str] = None,
        reconnect_secs: float = 60.0,
    ) -> None:
        self._transport = Transport(
            base_url or os.environ.get("CLAWDFORGE_URL") or "http://127.0.0.1:8800",
            token or os.environ.get("CLAWDFORGE_ADMIN_TOKEN") or None,
            ssl_context=ssl_context,
            proxy=proxy,
            reconnect_secs=reconnect_secs,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.base_url!r})"

    def mint_token(self, name: str, ip_cidrs: Sequence[str] = ()) -> MintedToken:
        """Mints a token for an app. With `ip_cidrs`, it may be used from these addresses only."""
        body = JsonBody({"name": name, "ip_cidrs": list(ip_cidrs)})
        json, _ = self._transport.call("POST", "/admin/tokens", body=body)
        return answer(MintedToken, json)

    def tokens(self) -> List[TokenInfo]:
        """Lists all tokens, also revoked ones, without their secrets."""
        json, _ = self._transport.call("GET", "/admin/tokens")
        return [answer(TokenInfo, one) for one in json.get("tokens", [])]

    def revoke_token(self, name: str) -> bool:
        """Revokes a token at once. Returns False if it was revoked before. It may be called again."""
        json, _ = self._transport.call("DELETE", f"/admin/tokens/{segment(name)}")
        return json.get("already_revoked") is not True
