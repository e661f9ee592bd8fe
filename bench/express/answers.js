// The days of an account, and the answers, as the service gives them.

const DAY_MS = 86_400_000;
const LOW_PERCENT = 20;

export function midnight(now) {
  return new Date(now - (now % DAY_MS));
}

export function leftOf(day) {
  return day.daily_credit_limit + day.credits_rolled_over - day.credits_used;
}

/** What both answers say of a day. */
function dayAnswer(day) {
  const { date, daily_credit_limit, credits_used } = day;
  const remaining_credits = leftOf(day);
  const given = daily_credit_limit + day.credits_rolled_over;
  const low_credits = remaining_credits * 100 <= LOW_PERCENT * given;
  return { date, daily_credit_limit, credits_used, credits_held: 0, remaining_credits, low_credits };
}

export function statusAnswer(user_id, { _id: subscription_id, ...subscription }, day, now) {
  return {
    user_id,
    subscription_id,
    ...subscription,
    days_remaining: Math.round((midnight(subscription.end_date) - day.date) / DAY_MS),
    ...dayAnswer(day),
    credits_rolled_over: day.credits_rolled_over,
    day_remaining_credits: leftOf(day),
    pack_credits: 0,
    resets_at: new Date(+day.date + DAY_MS),
    as_of: now,
  };
}

/** Returns the answer to a charge, from the day as it is after it. */
export function usageAnswer(usage_id, { created_at, ...usage }, day) {
  const { date, credit_amount } = usage;
  return {
    usage_id,
    subscription_id: day.subscription_id,
    ...usage,
    ...dayAnswer(day),
    sources: credit_amount ? [{ source: "day", date, credit_amount }] : [],
    uncovered_credits: 0,
    late: false,
  };
}
