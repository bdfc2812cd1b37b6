# SPDX-License-Identifier: Apache-2.0
"""The way of a request: who sent it, the seams, then the stand-in's own services or moto."""

import secrets
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from botocore.credentials import Credentials

from lkcloud.sandbox.http import DropConnection, Request, Response
from lkcloud.sandbox.traffic import Traffic
from lkcloud_aws.sandbox import (
    authorization,
    copying,
    ebs,
    encryption,
    images,
    imports,
    instances,
    life,
    parameters,
    quotas,
    references,
    regions,
    s3,
    sharing,
    simulation,
    snapshots,
)
from lkcloud_aws.sandbox.access import Caller, caller, form, verify
from lkcloud_aws.sandbox.cloud import Cloud, Region
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result, parse, serialize
from lkcloud_aws.sandbox.errors import ApiError, access, render

_EC2: Mapping[str, Handler] = {
    **snapshots.OPERATIONS,
    **images.OPERATIONS,
    **copying.OPERATIONS,
    **sharing.OPERATIONS,
    **life.OPERATIONS,
    **regions.OPERATIONS,
    **encryption.OPERATIONS,
    **imports.OPERATIONS,
    **instances.OPERATIONS,
    **references.OPERATIONS,
}
_TAGS: Mapping[str, Callable[[Call], Result | None]] = {
    "CreateTags": snapshots.create_tags,
    "DeleteTags": snapshots.delete_tags,
}
_QUERY_SERVICES = ("ec2", "iam", "sts")
_REGIONAL = ("ec2", "ebs", "kms", "ssm", "servicequotas", "sts")


class Dispatcher:
    """Answers requests out of CLOUD for the holder of CREDENTIALS."""

    def __init__(self, cloud: Cloud, traffic: Traffic, credentials: Credentials) -> None:
        self._cloud = cloud
        self._traffic = traffic
        self._credentials = credentials
        self.expired = False
        """Whether the credentials have run out."""
        self.clock_skew = timedelta()
        """How much the clock is before this machine's."""

    def __call__(self, request: Request) -> Response:
        """Return the answer to REQUEST."""
        who = caller(request)
        # The services of the query protocols have their operation in the body, which is small.
        payload = request.body.all() if who.service in _QUERY_SERVICES else b""
        name = _operation(request, who, payload)
        with self._traffic.request(who.service, name, request.method, request.path, who.region) as seen:
            response = self._traffic.before(seen) or self._answer(request, who, name, payload)
            for _ in request.body.pieces():
                pass
            return self._traffic.after(seen, response, request.body.received)

    def _answer(self, request: Request, who: Caller, name: str, payload: bytes) -> Response:
        request_id = secrets.token_hex(8)
        try:
            return self._serve(request, who, name, payload, request_id)
        except ApiError as error:
            return render(who.service, error, request_id)
        except DropConnection:
            raise
        except Exception as error:
            traceback.print_exc()
            failed = ApiError("InternalError", f"The sandbox failed: {type(error).__name__}: {error}", 500)
            return render(who.service, failed, request_id)

    def _serve(self, request: Request, who: Caller, name: str, payload: bytes, request_id: str) -> Response:
        if who.service == "s3":
            # The signature covers the header X-Amz-Content-SHA256; the body is compared with it as it is stored.
            self._check(request, who, None)
            authorization.require(self._cloud, "s3", authorization.of_s3(name, request))
            try:
                response = s3.serve(self._cloud, who.region, request)
            except ApiError as error:
                raise authorization.missing_object(self._cloud, request, error) from None
            return Response(
                response.status, {"x-amz-request-id": request_id, **response.headers}, response.body, response.files
            )
        if who.service not in _QUERY_SERVICES:
            payload = request.body.all()
        self._check(request, who, payload)
        region = self._cloud.region(who.region)
        if who.service == "ebs":
            return ebs.serve(self._cloud, region, request, payload)
        if who.service == "ec2":
            with self._cloud.lock:
                result = self._ec2(region, name, payload)
            if result is not None:
                return serialize(name, result, request_id)
        with self._cloud.lock:
            if who.service != "ec2":
                needs = authorization.of_other(region, who.service, name, dict(form(payload)), payload)
                authorization.require(self._cloud, who.service, needs)
            own = self._own(region, who.service, name, payload, request_id)
            return own or self._cloud.moto.forward(request, payload)

    def _own(self, region: Region, service: str, name: str, payload: bytes, request_id: str) -> Response | None:
        """Return the answer of a smaller service, None if it is moto's to answer."""
        match service, name:
            case "ssm", _:
                parameters.settle(self._cloud, region)
                return parameters.put(self._cloud, region, payload) if name == "PutParameter" else None
            case "servicequotas", _:
                return quotas.serve(self._cloud, region, name, payload)
            case "iam", "SimulatePrincipalPolicy":
                return simulation.serve(self._cloud, dict(form(payload)), request_id)
            case "sts", "GetCallerIdentity":
                return simulation.identity(self._cloud, request_id)
            case "account", "/enableRegion":
                return regions.enable(self._cloud, payload)
        return None

    def _ec2(self, region: Region, name: str, payload: bytes) -> Result | None:
        """Return the result of a call of EC2, None if it is moto's to answer."""
        own = name in _EC2 or name in _TAGS
        call = Call(self._cloud, region, name, parse(name, form(payload)) if own else {})
        authorization.require(self._cloud, "ec2", authorization.of_ec2(call))
        if name in _TAGS:
            return _TAGS[name](call)
        return _EC2[name](call) if own else None

    def _check(self, request: Request, who: Caller, payload: bytes | None) -> None:
        verify(request, who, self._credentials, payload, datetime.now(UTC) + self.clock_skew)
        if self.expired:
            raise access(who.service, "expired")
        if who.service in _REGIONAL and not self._cloud.moto.opted_in(who.region):
            # A region that the account has not opted in to does not know the account's keys.
            raise access(who.service, "unknown key")


def _operation(request: Request, who: Caller, payload: bytes) -> str:
    if who.service == "ebs":
        return ebs.operation(request)
    if who.service == "s3":
        return s3.operation(request) or f"{request.method} object"
    action = dict(form(payload)).get("Action") or request.query.get("Action")
    return action or request.header("x-amz-target").rpartition(".")[2] or request.path
