# SPDX-License-Identifier: Apache-2.0
"""Protection from deregistration.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deregistration-protection.html
"""

from lkcloud.provider import Image, Run
from lkcloud_aws import images
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.session import Session

_COOLDOWN = "with-cooldown"


def protect(session: Session, options: AwsOptions, image: Image, run: Run) -> None:
    """Protect IMAGE from being deregistered, or no longer, as the options say; nothing said, nothing done.

    Raises NotFound if there is no such image.
    """
    wanted = options.deregistration_protection
    if wanted is None:
        return
    before = images.standing(session, image.id)
    if _word(before) == wanted:
        run.reporter.note(f"the protection of {image.id} in {image.region} is {wanted} already")
        return
    with run.reporter.stage("protect"), session.errors(f"setting the protection of {image.id}"):
        if wanted == "off":
            session.attempt(lambda: session.ec2.disable_image_deregistration_protection(ImageId=image.id))
        else:
            session.attempt(
                lambda: session.ec2.enable_image_deregistration_protection(
                    ImageId=image.id, WithCooldown=wanted == "cooldown"
                )
            )
    later = "; it can be deleted in 24 hours" if wanted == "off" and _word(before) == "cooldown" else ""
    run.reporter.note(f"the protection of {image.id} in {image.region} is {wanted} now{later}")


def _word(standing: images.Standing) -> str:
    """Return the option's word for how an image is protected."""
    if not standing.protected:
        return "off"
    return "cooldown" if standing.protection.endswith(_COOLDOWN) else "on"
