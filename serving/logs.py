"""One line of JSON for each request and each event of the service; nothing that a visitor sent stands in it."""

import json
import logging
import time
from typing import Any, ClassVar

logger = logging.getLogger("hindsight")


ENCODER = json.JSONEncoder(ensure_ascii=False)


class JsonFormatter(logging.Formatter):
    """Writes a record as an object: time, level, message, what was given as `extra`, and the traceback of an error."""

    extras: ClassVar[tuple[str, ...]] = ("request_id", "method", "route", "status", "milliseconds", "checkpoint")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        facts = record.__dict__
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{name: facts[name] for name in self.extras if name in facts},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return ENCODER.encode(line)


def log_request(**facts: Any) -> None:
    """Write a request's line: its `extras`. Where in the program it is written, which logging would find out, is not
    in it, and to find it out takes longer than the rest.
    """
    if logger.isEnabledFor(logging.INFO):
        level = {"levelno": logging.INFO, "levelname": "INFO"}
        logger.handle(logging.makeLogRecord({"name": logger.name, "msg": "request", **level, **facts}))


def set_up_logging(log_format: str) -> None:
    """Send the service's log to standard error.

    Args:
        log_format: "json" writes a line for each request, too; "text" warnings and errors alone.
    """
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO if log_format == "json" else logging.WARNING)
    logger.propagate = False
