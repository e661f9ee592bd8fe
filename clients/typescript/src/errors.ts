/**
 * Why a call was not done: one class a code, the codes of HTTP.
 *
 * AllotmentError
 * ├── Refused                  nothing was changed, and would not be if repeated now
 * │   ├── InsufficientCredits, NoActiveSubscription
 * │   ├── HoldClosed, AlreadyReversed, ReshardRunning
 * │   ├── NotFound, MethodNotAllowed
 * │   ├── Unauthorized, Forbidden, BadSignature
 * │   └── InvalidRequest, IdempotencyKeyReused, DuplicatePayment, TooLarge, UnsupportedMediaType
 * ├── TryAgain                 the outcome may be unknown: repeat with the same `key`
 * │   ├── Overloaded, StorageUnavailable, InternalError, RequestTimeout
 * │   ├── RateLimited
 * │   ├── ServiceAway          nobody answered: a network error, a timeout, a proxy's 5xx
 * │   └── QueueFull            nobody answered, and the local queue has no room
 * ├── UnexpectedAnswer         what answered is not the service: a wrong address, a proxy's page
 * └── Aborted                  the caller's signal ended it; `name` is "AbortError"
 */

/** A problem body (RFC 9457), as the service wrote it. */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  [field: string]: unknown;
}

/** One field of a request that is not valid. */
export interface FieldError {
  field: string;
  message: string;
}

/** What an error knows besides its message. */
export interface ErrorFacts {
  /** The body of the answer; undefined where there was none. */
  problem?: Problem | undefined;
  /** The idempotency key of the call. Repeated with it, the call never charges twice. */
  key?: string | undefined;
  /** What the answer's `Retry-After` said, in milliseconds. */
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** A call was not done. `code` is stable; the message is for people. */
export class AllotmentError extends Error {
  readonly code: string;
  /** The status of the answer; undefined where there was none. */
  readonly status: number | undefined;
  readonly problem: Problem | undefined;
  readonly key: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.code = code;
    this.status = facts.problem?.status;
    this.problem = facts.problem;
    this.key = facts.key;
    this.retryAfterMs = facts.retryAfterMs;
  }
}

/** The service refused: nothing was changed. */
export class Refused extends AllotmentError {}

/** Credits do not cover what was asked for. */
abstract class Uncovered extends Refused {
  /** What stands in the way: `daily`, `subscription` or `credits` (no day can help). */
  readonly limit: string | undefined;
  readonly remainingCredits: number | undefined;
  readonly requiredCredits: number | undefined;
  /** The first midnight from which it would pass if nothing else is spent; null: never. */
  readonly availableAt: Date | null;

  constructor(code: string, message: string, facts: ErrorFacts = {}) {
    super(code, message, facts);
    const problem = facts.problem ?? ({} as Partial<Problem>);
    this.limit = typeof problem.limit === "string" ? problem.limit : undefined;
    this.remainingCredits = numberOr(problem.remaining_credits);
    this.requiredCredits = numberOr(problem.required_credits);
    const at = problem.available_at;
    this.availableAt = typeof at === "string" ? new Date(at) : null;
  }
}

export class InsufficientCredits extends Uncovered {}
export class NoActiveSubscription extends Uncovered {}
export class HoldClosed extends Refused {}
export class AlreadyReversed extends Refused {}
export class ReshardRunning extends Refused {}
export class NotFound extends Refused {}
export class MethodNotAllowed extends Refused {}
export class Unauthorized extends Refused {}
export class Forbidden extends Refused {}
export class BadSignature extends Refused {}
export class IdempotencyKeyReused extends Refused {}
export class DuplicatePayment extends Refused {}
export class TooLarge extends Refused {}
export class UnsupportedMediaType extends Refused {}

/** The request cannot be decided. This client throws it, too, for what it would not send. */
export class InvalidRequest extends Refused {
  readonly errors: FieldError[];

  constructor(code: string, message: string, facts: ErrorFacts = {}) {
    super(code, message, facts);
    const errors = facts.problem?.errors;
    this.errors = Array.isArray(errors) ? (errors as FieldError[]) : [];
  }
}

/** The outcome may be unknown: repeat the call with the same `key`. */
export class TryAgain extends AllotmentError {}
export class Overloaded extends TryAgain {}
export class StorageUnavailable extends TryAgain {}
export class InternalError extends TryAgain {}
export class RequestTimeout extends TryAgain {}
export class RateLimited extends TryAgain {}
export class ServiceAway extends TryAgain {}
export class QueueFull extends TryAgain {}

/** What answered is not the service. */
export class UnexpectedAnswer extends AllotmentError {
  constructor(status: number, facts: ErrorFacts = {}) {
    const message = `What answered with the status ${status} is not Allotment: is the address right?`;
    super("unexpected_answer", message, facts);
  }
}

/** The caller's signal ended the call. Its outcome may be unknown. */
export class Aborted extends AllotmentError {
  constructor(facts: ErrorFacts = {}) {
    super("aborted", "The call was aborted", facts);
    this.name = "AbortError";
  }
}

type ErrorClass = new (code: string, message: string, facts?: ErrorFacts) => AllotmentError;

/** The class of every code that the service has. */
export const ERRORS_BY_CODE: Readonly<Record<string, ErrorClass>> = {
  already_reversed: AlreadyReversed,
  bad_signature: BadSignature,
  duplicate_payment: DuplicatePayment,
  forbidden: Forbidden,
  hold_closed: HoldClosed,
  idempotency_key_reused: IdempotencyKeyReused,
  insufficient_credits: InsufficientCredits,
  internal_error: InternalError,
  invalid_request: InvalidRequest,
  method_not_allowed: MethodNotAllowed,
  no_active_subscription: NoActiveSubscription,
  not_found: NotFound,
  overloaded: Overloaded,
  rate_limited: RateLimited,
  request_timeout: RequestTimeout,
  reshard_running: ReshardRunning,
  storage_unavailable: StorageUnavailable,
  too_large: TooLarge,
  unauthorized: Unauthorized,
  unsupported_media_type: UnsupportedMediaType,
};

/** Return the error of an answer: its body, where it is a problem, else what its status means. */
export function errorOf(status: number, body: unknown, facts: ErrorFacts = {}): AllotmentError {
  if (isProblem(body)) {
    const known = ERRORS_BY_CODE[body.code];
    const kind = known ?? (status >= 500 || status === 429 ? TryAgain : Refused);
    return new kind(body.code, body.detail || body.title, { ...facts, problem: body });
  }
  // Proxies speak for a service that is not there, too.
  if (status >= 500) return new ServiceAway("service_away", `A proxy answered ${status}`, facts);
  if (status === 429) return new RateLimited("rate_limited", "A proxy answered 429", facts);
  return new UnexpectedAnswer(status, facts);
}

/** Return the error of what this client does not send. */
export function invalid(field: string, message: string): InvalidRequest {
  return new InvalidRequest("invalid_request", `${field}: ${message}`, {
    problem: {
      type: "about:blank",
      title: "The request is not valid",
      status: 422,
      detail: `${field}: ${message}`,
      code: "invalid_request",
      errors: [{ field, message }],
    },
  });
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== "object" || body === null) return false;
  const { code, status } = body as Partial<Problem>;
  return typeof code === "string" && typeof status === "number";
}

function numberOr(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
