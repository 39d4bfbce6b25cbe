"""The supervisor: starts website and crawlers, restarts what crashes, stops all cleanly.

Rooms: states and restarts (rules, pure), channel (frames between supervisor and child), child (the
child's side), process (one child), keeper (one program over its restarts), supervisor (the set),
listeners, authentication, control, instance, output and linux (the edges). Its process imports the
standard library, msgspec and floors 0 to 2, so that it stays small and has little that can fail.
Only `cli` enters.
"""
