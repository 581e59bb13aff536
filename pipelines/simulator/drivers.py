"""The drivers' tokens: the same uid is an idTag or idToken in OCPP and the token uid in OCPI."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelines.simulator.chance import hashed
from pipelines.simulator.network import EMSPS, OPERATORS, Network
from pipelines.simulator.sessions import AD_HOC, Sessions
from pipelines.simulator.text import chosen, escaped, joined, looked_up, number


@dataclass(slots=True)
class Drivers:
    """Tokens of the EMSPs, and how to name the token of a session.

    Attributes:
        net: The network.
        seed: Seed of chance.
        emsp: EMSP of each token.
        uid: uid of each token.
        contract: Contract id of each token.
    """

    net: Network
    seed: int
    emsp: np.ndarray
    uid: pl.Series
    contract: pl.Series

    def emsp_of(self, sessions: Sessions) -> np.ndarray:
        """Return the EMSP of each session, AD_HOC where the driver paid on the spot."""
        return np.where(sessions.token == AD_HOC, AD_HOC, self.emsp[np.maximum(sessions.token, 0)])

    def _card_uid(self, sessions: Sessions) -> pl.Series:
        return looked_up(self.uid, np.maximum(sessions.token, 0))

    def _on_spot_number(self, sessions: Sessions) -> pl.Series:
        return number(hashed(self.seed, 52, sessions.port, sessions.plugged_at) % 10**12).str.zfill(12)

    def tags(self, sessions: Sessions) -> pl.Series:
        """Return the 1.6 idTag (and OCPI token uid) of each session; a driver who paid on the spot has a new one."""
        return chosen(sessions.token != AD_HOC, (self._card_uid(sessions),), ("AH", self._on_spot_number(sessions)))

    def id_tokens(self, sessions: Sessions) -> pl.Series:
        """Return the 2.x idToken objects, escaped."""
        return chosen(
            sessions.token != AD_HOC,
            (escaped('{"idToken":"'), self._card_uid(sessions), escaped('","type":"ISO14443"}')),
            (escaped('{"idToken":"AH'), self._on_spot_number(sessions), escaped('","type":"Central"}')),
        )

    def cdr_tokens(self, sessions: Sessions) -> pl.Series:
        """Return the OCPI 2.2 cdr_token objects; a driver who paid on the spot is the operator's own."""
        parties = pl.Series([f'"country_code":"{e.country}","party_id":"{e.party}"' for e in EMSPS])
        own = pl.Series([f'"country_code":"{o.country}","party_id":"{o.party}"' for o in OPERATORS])
        token = np.maximum(sessions.token, 0)
        card = (
            "{",
            looked_up(parties, self.emsp[token]),
            ',"uid":"',
            self._card_uid(sessions),
            '","type":"RFID","contract_id":"',
            looked_up(self.contract, token),
            '"}',
        )
        spot = self._on_spot_number(sessions)
        operator = self.net.port_operator[sessions.port]
        on_spot = (
            "{",
            looked_up(own, operator),
            ',"uid":"AH',
            spot,
            '","type":"AD_HOC_USER","contract_id":"AH',
            spot,
            '"}',
        )
        return chosen(sessions.token != AD_HOC, card, on_spot)

    def token_objects(self, emsp: int, last_updated: str) -> pl.Series:
        """Return the OCPI 2.2.1 Token objects of one EMSP.

        Args:
            emsp: The EMSP.
            last_updated: Their last_updated.
        """
        rows = np.flatnonzero(self.emsp == emsp)
        provider = EMSPS[emsp]
        return joined(
            f'{{"country_code":"{provider.country}","party_id":"{provider.party}","uid":"',
            looked_up(self.uid, rows),
            '","type":"RFID","contract_id":"',
            looked_up(self.contract, rows),
            f'","issuer":"{provider.name}","valid":true,"whitelist":"ALLOWED","last_updated":"{last_updated}"}}',
        )


def token_count(ports: int) -> int:
    """Return how many tokens a network of so many ports has."""
    return max(40, ports * 12)


def make_drivers(net: Network, seed: int) -> Drivers:
    """Issue the tokens: two of three by the first EMSP, the rest by the second."""
    count = token_count(len(net.port_station))
    index = np.arange(count)
    chance = hashed(seed, 51, index)
    emsp = (chance % 3 == 2).astype(np.int64)
    # The running number keeps uids apart whatever the chance part says.
    uid = pl.Series([f"04{value % 16**7:07X}{row:05X}" for row, value in enumerate((chance // 3).tolist())])
    contract = pl.Series([f"{EMSPS[e].country}-{EMSPS[e].party}-C{row:08}-X" for row, e in enumerate(emsp.tolist())])
    return Drivers(net, seed, emsp, uid, contract)
