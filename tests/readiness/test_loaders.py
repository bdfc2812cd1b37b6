# SPDX-License-Identifier: Apache-2.0
"""What is understood of loaders' configurations, as tools and distributions write them."""

from lkcloud.disk.linux import grub, loader_entries, syslinux
from lkcloud.disk.linux.command_line import CommandLine
from lkcloud.disk.linux.menus import MenuEntry

# What grub-mkconfig of Debian writes, without what draws the menu.
DEBIAN = """
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
serial --unit=0 --speed=115200
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
\tload_video
\tinsmod gzio
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tsearch --no-floppy --fs-uuid --set=root 6b0b
\techo\t'Loading Linux 6.1.0-56-cloud-amd64 ...'
\tlinux\t/boot/vmlinuz-6.1.0-56-cloud-amd64 root=PARTUUID=1-2 ro  console=tty0 console=ttyS0,115200
\tinitrd\t/boot/initrd.img-6.1.0-56-cloud-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {
\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-55 (recovery mode)' {
\t\tlinux\t/boot/vmlinuz-6.1.0-55-cloud-amd64 root=PARTUUID=1-2 ro single
\t\tinitrd\t/boot/initrd.img-6.1.0-55-cloud-amd64
\t}
}
"""


def test_grub_as_debian_has_it() -> None:
    entries = grub.Configuration(DEBIAN).entries
    assert entries == (
        MenuEntry(
            "boot/vmlinuz-6.1.0-56-cloud-amd64",
            ("boot/initrd.img-6.1.0-56-cloud-amd64",),
            "root=PARTUUID=1-2 ro console=tty0 console=ttyS0,115200",
        ),
        MenuEntry(
            "boot/vmlinuz-6.1.0-55-cloud-amd64",
            ("boot/initrd.img-6.1.0-55-cloud-amd64",),
            "root=PARTUUID=1-2 ro single",
        ),
    )


def test_grub_starts_the_entry_that_is_its_default() -> None:
    text = """
set default="1>0"
set root=(hd0,gpt2)
set options="console=ttyS0 quiet"
menuentry "first" {
  linux (hd0,gpt2)/one a=b
}
submenu "more" {
  menuentry "second" {
    linux ($root)/two $options "x y" '$z' "it's" ${unknown}
    initrd ($root)/early.cpio ($root)/two.img
  }
}
"""
    first = grub.Configuration(text).entries[0]
    assert first == MenuEntry("two", ("early.cpio", "two.img"), 'console=ttyS0 quiet "x y" $z it\'s', complete=False)


def test_grub_with_the_entries_of_fedora() -> None:
    saved = grub.environment("# GRUB Environment Block\nkernelopts=root=UUID=1 console=ttyS0\nsaved_entry=x\n####")
    configuration = grub.Configuration("set timeout=1\nblscfg\n", saved)
    assert configuration.uses_entries
    text = "title Fedora\nlinux /vmlinuz-6.12\ninitrd /initramfs-6.12.img $tuned_initrd\noptions $kernelopts\n"
    assert loader_entries.entry(text, configuration.expand) == MenuEntry(
        "vmlinuz-6.12", ("initramfs-6.12.img",), "root=UUID=1 console=ttyS0"
    )


def test_what_is_no_grub_configuration_has_no_entries() -> None:
    for text in ("", "}" * 50, "menuentry {\n" * 50, "linux\ninitrd\nset\nset x\n", "linux '/unclosed quiet", "\0\1"):
        assert len(grub.Configuration(text).entries) <= 1


def test_the_entry_that_systemd_boot_starts() -> None:
    names = {name: MenuEntry(name, (), "") for name in ("os-1.9.conf", "os-1.10.conf", "rescue.conf")}

    def order(configuration: str) -> list[str]:
        return [entry.kernel for entry in loader_entries.ordered(names, configuration)]

    assert order("")[-2:] == ["os-1.10.conf", "os-1.9.conf"]
    assert order("timeout 3\ndefault os-*\n") == ["os-1.10.conf", "os-1.9.conf", "rescue.conf"]
    assert order("default os-1.9\n")[0] == "os-1.9.conf"
    assert loader_entries.entry("title x\nefi /EFI/tool.efi\n") == MenuEntry("EFI/tool.efi", (), "")
    assert loader_entries.entry("# linux /x\ntitle nothing\n") is None
    assert loader_entries.entry('linux\t/x\noptions "a b"\n') == MenuEntry("x", (), "a b")
    assert loader_entries.entry('linux /x\noptions ""a b" "c d""\n') == MenuEntry("x", (), '"a b" "c d"')


def test_syslinux_as_linuxkit_writes_it() -> None:
    text = "DEFAULT linux\nLABEL linux\n    KERNEL /kernel\n    INITRD /initrd.img\n    APPEND console=ttyS0 a=1\n"
    assert syslinux.entries(text) == (MenuEntry("kernel", ("initrd.img",), "console=ttyS0 a=1"),)


def test_syslinux_with_several_labels_and_an_initrd_among_the_words() -> None:
    text = "default b\nappend quiet\nlabel a\nkernel /a\nlabel b\nlinux ../b\nappend initrd=/x,/y root=/dev/sda1\n"
    second, first = syslinux.entries(text)
    assert second == MenuEntry("b", ("x", "y"), "initrd=/x,/y root=/dev/sda1")
    assert first == MenuEntry("a", (), "quiet")


def test_words_of_a_command_line() -> None:
    line = CommandLine(
        'BOOT_IMAGE=/k root=LABEL=a console=tty0 console=ttyS0,115200n8 x="console=ttyS9 y" '
        "module_blacklist=nvme,virtio-net modprobe.blacklist=ena -- console=ttyS7"
    )
    assert line.consoles == ("tty0", "ttyS0")
    assert line.root == "LABEL=a"
    assert line.blacklist == {"nvme", "virtio_net", "ena"}
    assert not line.root_is_elsewhere
    assert CommandLine("root=/dev/ram0").root_is_elsewhere
    assert CommandLine("root=gpt-auto").root == ""
    assert CommandLine("").consoles == ()


def test_variables_of_variables_do_not_double_for_ever() -> None:
    lines = ["set a=xx", *(f"set v{n}=${{{'a' if n == 0 else f'v{n - 1}'}}}${{a}}${{a}}" for n in range(5000))]
    lines += ["set d0=$v1000", *(f"set d{n}=$d{n - 1}$d{n - 1}$d{n - 1}" for n in range(1, 40))]
    configuration = grub.Configuration("\n".join([*lines, "linux /k " + "$d39 " * 1000]))
    assert max(map(len, configuration.variables.values())) <= 4096
    assert len(configuration.entries[0].options) <= 1000 * 4097
