"""`seamless leases` as a script of its own: see and mend the leases of the fetch workers."""

from ops.cli_leases import main

if __name__ == "__main__":
    main()
