#!/bin/sh
# The fuzz drivers over their corpora, once: what was found stays fixed.
exec sh fuzz/run.sh replay
