"""Programs that run in an environment of their own, `.venv-peers`, and time what our own networks are compared with.

Each reads a case a line from standard input, as JSON, and answers with a line: the seconds that it took. So both sides
take turns, and a disturbance of the machine meets both.
"""
