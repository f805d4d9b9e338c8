#!/bin/sh
echo "$# arguments: $*"
pwd
echo problem >&2
exit "${3:-0}"
