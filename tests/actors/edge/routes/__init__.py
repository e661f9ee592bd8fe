"""The operations of the HTTP interface, a file per resource."""
