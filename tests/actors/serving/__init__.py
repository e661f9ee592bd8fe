"""Replicas, and HAProxy before them."""
