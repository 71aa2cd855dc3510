"""The 5G demo: two network functions, from a host's first boot to the end of one."""
