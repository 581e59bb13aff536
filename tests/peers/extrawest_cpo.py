"""A CPO on loopback made with extrawest-ocpi: run in an environment of its own, whose pins are not ours.

``python extrawest_cpo.py PORT COUNT TOKEN`` serves COUNT CDRs. Paging, envelope, headers and their defects are the
framework's own.
"""

import os
import sys
from datetime import datetime
from pathlib import Path

PORT, COUNT, TOKEN = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.environ |= {"OCPI_HOST": f"127.0.0.1:{PORT}", "ENVIRONMENT": "production"}
sys.path.insert(0, str(Path(__file__).parent))

import uvicorn  # noqa: E402
from cdrs import cdr  # noqa: E402
from py_ocpi import get_application  # noqa: E402
from py_ocpi.core.authentication.authenticator import Authenticator  # noqa: E402
from py_ocpi.core.crud import Crud  # noqa: E402
from py_ocpi.core.enums import ModuleID, RoleEnum  # noqa: E402
from py_ocpi.modules.versions.enums import VersionNumber  # noqa: E402

CDRS = [cdr(number) for number in range(COUNT)]


class Store(Crud):
    @classmethod
    async def list(cls, module, role, filters, *args, **kwargs):
        def is_in(item):
            at = datetime.fromisoformat(item["last_updated"].replace("Z", "+00:00"))
            return (not filters["date_from"] or at >= filters["date_from"]) and (
                not filters["date_to"] or at < filters["date_to"]
            )

        found = [item for item in CDRS if is_in(item)] if module == ModuleID.cdrs else []
        end = filters["offset"] + filters["limit"]
        return found[filters["offset"] : end], len(found), end >= len(found)

    get = create = update = delete = do = None


class Tokens(Authenticator):
    @classmethod
    async def get_valid_token_c(cls):
        return [TOKEN]

    @classmethod
    async def get_valid_token_a(cls):
        return []


def tokens():
    return Tokens


application = get_application(
    version_numbers=[VersionNumber.v_2_1_1, VersionNumber.v_2_2_1],
    roles=[RoleEnum.cpo],
    crud=Store,
    modules=[ModuleID.cdrs],
    authenticator=tokens,
)

if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=PORT, log_level="warning")
