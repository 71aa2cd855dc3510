"""The command line; one file a subcommand, imported only when it is the one.

Exit codes, the same for every subcommand:

    0  done, or the answer is "well"
    1  the answer is "not well" (status, accounts)
    2  the command line is wrong
    3  the daemon cannot be reached
    4  the daemon refused
    5  the configuration is not valid
    6  anything else that was expected to be able to fail, such as an unreadable file
"""
