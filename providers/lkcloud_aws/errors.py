# SPDX-License-Identifier: Apache-2.0
"""AWS's errors: whether to try again, and what to tell the user."""

import re
from dataclasses import dataclass

from botocore import exceptions as sdk

from lkcloud.errors import (
    Conflict,
    Corrupt,
    LkcloudError,
    NotAuthenticated,
    NotFound,
    Refused,
    Unreachable,
    UsageError,
)
from lkcloud.transfer.http import judge_transport
from lkcloud.transfer.retry import Verdict

CREDENTIALS_HINT = "sign in as for the AWS CLI (aws configure, aws sso login, or AWS_ACCESS_KEY_ID and its kin)"

_AUTHENTICATION = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "Forbidden",
    "OperationNotPermitted",
    "UnauthorizedOperation",
    "Client.UnauthorizedOperation",
    "403",
}
_THROTTLED = {
    "BandwidthLimitExceeded",
    "ConcurrentLimitExceededException",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TooManyUpdates",
}
_TRANSIENT = {
    "Client.RequestTimeout",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "Unavailable",
    # Reasons of EBS's ValidationException: an earlier attempt that we gave up is still being written.
    "CONFLICTING_BLOCK_UPDATE",
    "WRITE_REQUEST_TIMEOUT",
}
_MISSING = {"404", "NoSuchBucket", "NoSuchEntity", "NoSuchKey", "NoSuchUpload", "ResourceNotFoundException"}
_CONFLICTS = {"ConflictException", "IdempotentParameterMismatch"}
_ELSEWHERE = {"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_CORRUPT = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}

_NAMED = re.compile(r"is not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
"""The action in a refusal: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
_CLOCK = ("Signature expired", "Signature not yet current", "not yet current")
_S3_ACTIONS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObject": "DeleteObject",
    "GetBucketLocation": "GetBucketLocation",
    "GetObject": "GetObject",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutObject": "PutObject",
    "UploadPart": "PutObject",
}
"""S3's actions are not named as its operations are."""
_ACTIONS = {
    "ebs": ("StartSnapshot", "PutSnapshotBlock", "CompleteSnapshot"),
    "iam": ("GetRole",),
    "servicequotas": ("GetServiceQuota",),
    "ssm": ("AddTagsToResource", "GetParameters", "PutParameter"),
    "sts": ("GetCallerIdentity",),
}
"""Operations of services other than EC2 and S3."""

_ON_THE_LINE = (sdk.HTTPClientError, sdk.ConnectionError, sdk.IncompleteReadError)
_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.SSOError,
    sdk.NoAuthTokenError,
    sdk.UnknownCredentialError,
    sdk.RefreshWithMFAUnsupportedError,
)
_CONFIGURATION: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((sdk.ProfileNotFound,), "see `aws configure list-profiles`, or leave out --profile"),
    ((sdk.ParamValidationError,), "look at the option that holds this value"),
    (
        (sdk.ConfigNotFound, sdk.ConfigParseError, sdk.InvalidConfigError),
        "mend the AWS configuration, or name another in AWS_CONFIG_FILE",
    ),
)


@dataclass(eq=False)
class AwsFault(Exception):
    """An answer of AWS that says no: STATUS is HTTP's, CODE and MESSAGE are AWS's, OPERATION is the API's name.

    REASON is the second word that EBS gives beside the code, such as `DEPENDENCY_ACCESS_DENIED`.
    """

    operation: str
    status: int
    code: str
    message: str
    request_id: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.operation}: {self.code}: {self.message}"


def fault(error: BaseException | None) -> AwsFault | None:
    """Return ERROR as an AwsFault, if it is an answer of AWS."""
    if isinstance(error, AwsFault):
        return error
    if not isinstance(error, sdk.ClientError):
        return None
    said = error.response.get("Error", {})
    meta = error.response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode") or 0)
    # EBS tells the reason of a ValidationException or a RequestThrottledException beside the code.
    reason = str(error.response.get("Reason") or "")
    code = telling(str(said.get("Code") or status), reason)
    return AwsFault(
        error.operation_name, status, code, str(said.get("Message") or ""), str(meta.get("RequestId") or ""), reason
    )


def telling(code: str, reason: str) -> str:
    """Return what to judge an error by: a ValidationException of EBS passes or does not by its reason."""
    return reason if code == "ValidationException" and reason in _TRANSIENT else code


def code_of(error: BaseException | None) -> str:
    """Return AWS's error code, "" if ERROR is no answer of AWS."""
    found = fault(error)
    return found.code if found else ""


def judge(error: Exception) -> Verdict:
    """Tell whether the same request may succeed later: throttles and failures of the service do, refusals do not."""
    answer = fault(error)
    if answer is not None:
        return _judge_fault(answer)
    if isinstance(error, _ON_THE_LINE) and not isinstance(error, sdk.SSLError):
        return Verdict.TRANSIENT
    return judge_transport(error)


def _judge_fault(answer: AwsFault) -> Verdict:
    if answer.code in _THROTTLED or answer.status == 429:
        return Verdict.THROTTLED
    # What was damaged on the way can be sent again; a disk that changed is told apart by whoever read it.
    if answer.code in _TRANSIENT | _CORRUPT:
        return Verdict.TRANSIENT
    refused = answer.code in _AUTHENTICATION | _DENIED or answer.status == 501
    return Verdict.TRANSIENT if answer.status >= 500 and not refused else Verdict.FATAL


def explain(error: Exception, doing: str) -> LkcloudError:
    """Return what to tell the user of ERROR, which came while DOING something (`writing the snapshot`)."""
    if isinstance(error, LkcloudError):
        return error
    answer = fault(error)
    if answer is not None:
        return _explain_fault(answer, doing)
    if isinstance(error, sdk.NoRegionError):
        return no_region()
    said = _first_line(error)
    if isinstance(error, _CREDENTIALS) or any(kind.__name__ == "LoginError" for kind in type(error).__mro__):
        return NotAuthenticated(f"aws: {said}", hint=CREDENTIALS_HINT)
    for kinds, hint in _CONFIGURATION:
        if isinstance(error, kinds):
            return UsageError(f"aws: {said}", hint=hint)
    hint = "check the network, proxy and region, then run the same command again"
    if isinstance(error, sdk.SSLError):
        hint = "if a proxy stands between, name its certificates in AWS_CA_BUNDLE"
    return Unreachable(f"aws: {doing}: {said}", hint=hint)


def no_region() -> UsageError:
    """Return the error of a run that knows no region."""
    return UsageError("aws: no region is given or configured", hint="give --region, or set AWS_REGION")


def _explain_fault(answer: AwsFault, doing: str) -> LkcloudError:
    said = answer.message.strip().rstrip(".") or f"HTTP status {answer.status}"
    code = answer.code if answer.reason in ("", answer.code) else f"{answer.code} ({answer.reason})"
    what = f"aws: {doing}: {code}: {said}"
    if answer.request_id:
        what += f" (request {answer.request_id})"
    kind, hint = _meaning(answer)
    return kind(what, hint=hint)


def _meaning(answer: AwsFault) -> tuple[type[LkcloudError], str]:
    """Return the kind of error that an answer is, and what to do."""
    code = answer.code
    expired = "xpired" in code or "xpired" in answer.message
    rules: tuple[tuple[bool, type[LkcloudError], str], ...] = (
        (_is_clock(answer), NotAuthenticated, "set the clock of this machine"),
        (
            code == "RequestExpired",
            NotAuthenticated,
            "sign in again if the credentials have expired, and set the clock of this machine if it is wrong",
        ),
        (
            # What others have not shared is answered as if we were nobody.
            code == "AuthFailure" and answer.message.startswith("Not authorized for"),
            Refused,
            "check the id: it belongs to another account, which has not shared it",
        ),
        (
            answer.reason.startswith("DEPENDENCY_"),
            Refused,
            "let this identity use the KMS key (docs/aws.md, Encryption)",
        ),
        (_has_no_subnet(answer), Refused, "give --subnet: the account has no default VPC with a subnet in the region"),
        (code in _AUTHENTICATION and expired, NotAuthenticated, "sign in again: the credentials have expired"),
        (code in _AUTHENTICATION, NotAuthenticated, CREDENTIALS_HINT),
        (code == "OptInRequired", Refused, "enable the region or the service for the account, or change --region"),
        (code in _DENIED, Refused, f"allow {action_of(answer)} to this identity (docs/aws.md lists all permissions)"),
        (code in _ELSEWHERE, Refused, "give a --bucket that is in the region of the push"),
        (code in _CORRUPT, Corrupt, "run the same command again; if it stays, check memory and network"),
        (
            code in _THROTTLED | _TRANSIENT or answer.status >= 500,
            Unreachable,
            "run the same command again later; it goes on where it stopped",
        ),
        (
            "LimitExceeded" in code or "QuotaExceeded" in code,
            Refused,
            "delete what is not needed, or ask for a higher quota in Service Quotas",
        ),
        (".NotFound" in code or code in _MISSING, NotFound, "check the name and --region"),
        ("Duplicate" in code or code in _CONFLICTS, Conflict, "wait for the other run, or choose another --name"),
    )
    for applies, kind, hint in rules:
        if applies:
            return kind, hint
    return Refused, "see docs/aws.md, Troubleshooting"


def _is_clock(answer: AwsFault) -> bool:
    """Tell whether AWS refuses a signature for its time.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html: "Signature expired: ... is now
    earlier than ...", "Signature not yet current: ... is still later than ...".
    """
    return answer.code == "RequestTimeTooSkewed" or (
        answer.code in _AUTHENTICATION and any(words in answer.message for words in _CLOCK)
    )


def _has_no_subnet(answer: AwsFault) -> bool:
    return answer.code == "VPCIdNotSpecified" or (answer.code == "MissingInput" and "subnet" in answer.message.lower())


def action_of(answer: AwsFault) -> str:
    """Return the IAM action that allows an operation: the one that AWS names, if it names one.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html; those of other services
    have the names of their operations.
    """
    if named := _NAMED.search(answer.message):
        return named[1]
    name = answer.operation
    if ":" in name:
        return name
    if name in _S3_ACTIONS:
        return f"s3:{_S3_ACTIONS[name]}"
    for service, operations in _ACTIONS.items():
        if name in operations:
            return f"{service}:{name}"
    return f"ec2:{name}"


def _first_line(error: Exception) -> str:
    """Return the first line of an error of the SDK in the house's form."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return text[:1].lower() + text[1:]
