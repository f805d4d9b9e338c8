"""Writes one JSON line per task result on stdout, in the shape that tests/dialect.rs compares with `mms run --json`."""

import json

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: mms_dialect
    type: stdout
    short_description: one JSON line per task result
    description: Used by the differential tests only.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "mms_dialect"

    def _write(self, status, taken, ignored=False):
        # Public properties came with 2.19; before that they were private.
        public = hasattr(taken, "result")
        task = taken.task if public else taken._task
        host = taken.host if public else taken._host
        result = taken.result if public else taken._result
        line = {
            "host": host.get_name(),
            "name": task.get_name(),
            "module": task.action,
            "place": task.get_path() or "",
            "status": status,
            "ignored": bool(ignored),
            "result": result,
        }
        self._display.display(json.dumps(line, default=str, sort_keys=True))

    def v2_runner_on_ok(self, result):
        taken = result.result if hasattr(result, "result") else result._result
        self._write("changed" if taken.get("changed") else "ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write("failed", result, ignore_errors)

    def v2_runner_on_skipped(self, result):
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result):
        self._write("unreachable", result)
