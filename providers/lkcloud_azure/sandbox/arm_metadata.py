# SPDX-License-Identifier: Apache-2.0
"""Where a cloud's services are, for those who know its Azure Resource Manager only: told to whoever asks.

https://learn.microsoft.com/azure-stack/user/azure-stack-version-profiles-cli-linux-ad: `az cloud register` asks so, and
Terraform with `metadata_host`.
"""

import json

from lkcloud.sandbox.http import Request, Response

PATH = "/metadata/endpoints"
OPERATION = "MetadataEndpoints"
_AUDIENCES = ["https://management.core.windows.net/", "https://management.azure.com/"]


def answer(request: Request, address: str) -> Response:
    """Answer a request of PATH to the server at ADDRESS; older versions tell of one cloud, newer ones of several."""
    authentication = {
        "loginEndpoint": address,
        "audiences": _AUDIENCES,
        "tenant": "common",
        "identityProvider": "AAD",
    }
    one: object = {"authentication": authentication, "galleryEndpoint": "", "graphEndpoint": "", "portalEndpoint": ""}
    if request.query.get("api-version", "") >= "2019-05-01":
        one = [{"name": "AzureCloud", "resourceManager": address, "authentication": authentication, "suffixes": {}}]
    return Response(200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(one).encode())
