locals {
  chosen = [
    for one in var.manifest.images : one
    if(var.image == null || one.image == var.image)
    && (var.targets == null || contains(coalesce(var.targets, []), one.target))
    && (one.tested || !var.tested)
  ]

  # By cloud, region and architecture: all ids that there are.
  found = {
    for cloud in distinct([for one in local.chosen : one.cloud]) : cloud => {
      for region in distinct([for one in local.chosen : one.region if one.cloud == cloud]) : region => {
        for one in local.chosen : one.arch => one.id... if one.cloud == cloud && one.region == region
      }
    }
  }

  several = flatten([
    for cloud, regions in local.found : [
      for region, archs in regions : [for arch, ids in archs : "${cloud} ${region} ${arch}" if length(ids) > 1]
    ]
  ])
}
