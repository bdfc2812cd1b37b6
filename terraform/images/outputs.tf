output "ids" {
  description = "Ids of the images: ids[cloud][region][architecture], such as ids[\"aws\"][\"eu-central-1\"][\"x86_64\"]. Google Cloud's region is `global`."

  value = {
    for cloud, regions in local.found : cloud => {
      for region, archs in regions : region => { for arch, ids in archs : arch => ids[0] }
    }
  }

  precondition {
    condition     = var.manifest.complete || !var.complete
    error_message = "Something of the release ${var.manifest.version} is missing: see `problems` in the manifest, or set complete = false."
  }

  precondition {
    condition     = length(local.several) == 0
    error_message = "There are several images for ${join(", ", local.several)}: name one with `image`, or `targets`."
  }
}

output "version" {
  description = "Version of the release."
  value       = var.manifest.version
}
