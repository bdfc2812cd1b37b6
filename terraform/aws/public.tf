# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-public-access-to-amis.html
resource "aws_ec2_image_block_public_access" "region" {
  count = var.public_images ? 1 : 0

  state = "unblocked"
}
