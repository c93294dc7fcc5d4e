"""`python -m kandinsky_client.cli`: the `kandinsky` command without its script."""

import sys

from kandinsky_client.cli.main import main

sys.exit(main())
