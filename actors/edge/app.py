"""The whole HTTP interface on a backend."""

from actors.edge.audited import AuditedRoute
from actors.edge.backend import Backend
from actors.edge.gate import Gate
from actors.edge.openapi import Interface, operation_id
from actors.edge.problems import HANDLERS
from actors.edge.routes.admin import add_admin_operations, add_reconciling_operations
from actors.edge.routes.audit import add_audit_operation
from actors.edge.routes.corrections import add_correcting_operations
from actors.edge.routes.docs import add_documentation
from actors.edge.routes.embedded import add_embedded
from actors.edge.routes.endpoints import add_endpoint_operations
from actors.edge.routes.events import add_event_operations
from actors.edge.routes.holds import add_hold_operations
from actors.edge.routes.hot import add_hot_operations
from actors.edge.routes.keys import add_key_operations
from actors.edge.routes.lookups import add_lookups
from actors.edge.routes.probes import add_operating_operations, add_test_clock
from actors.edge.routes.settings import add_settings_operations
from actors.edge.routes.stream_tokens import add_stream_tokens
from actors.edge.routes.stripe_webhook import add_stripe_operations
from actors.edge.routes.subscription import add_reading_operations, add_writing_operations
from actors.edge.routes.subscriptions import add_subscription_operations
from actors.edge.routes.users import add_user_operations


def build_app(backend: Backend) -> Gate:
    """Return the whole HTTP interface on a backend."""
    app = Interface(
        title="Allotment",
        version="0.1.0",
        summary="Decides whether a user may spend credits, and never loses or doubles one.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        generate_unique_id_function=operation_id,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=HANDLERS,
        telemetry={"tracing": False, "metrics": False},  # Looked up at every request otherwise.
    )
    app.router.route_class = AuditedRoute
    app.state.audit = backend.audit
    operations = add_hot_operations(app, backend)
    add_reading_operations(app, backend)
    operations |= add_writing_operations(app, backend)
    operations |= add_hold_operations(app, backend)
    add_correcting_operations(app, backend)
    add_operating_operations(app, backend)
    add_test_clock(app, backend)
    add_subscription_operations(app, backend)
    add_admin_operations(app, backend)
    add_user_operations(app, backend)
    add_stripe_operations(app, backend.stripe)
    add_event_operations(app, backend)
    add_stream_tokens(app, backend)
    add_reconciling_operations(app, backend)
    add_key_operations(app, backend)
    add_endpoint_operations(app, backend)
    add_settings_operations(app, backend)
    add_audit_operation(app, backend)
    add_lookups(app, backend)
    add_documentation(app)
    add_embedded(app, backend.portal)
    return Gate(app, backend, operations)
