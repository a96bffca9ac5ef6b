"""The launcher's parts: options, the machines of a cluster, the run channel.

`from launcher.cluster import Cluster` is the way in for tests; ./isthmus for people.
"""
