/**
 * Mongoose schemas of the documents that an application reads beside Allotment: subscriptions, days,
 * usage records and packs. They take the application's own Mongoose; this package needs none.
 *
 * They make no collections and no indexes: those are Allotment's. Fields that only Allotment needs
 * (`revision`, `applied_seq`, …) are left out, and kept where a document is changed.
 */

import type { Connection, Model, Mongoose, Schema, SchemaDefinition, Types } from "mongoose";

/** An id as Allotment stores it: an ObjectId where it has 24 hex digits, else a text. */
export type StoredId = Types.ObjectId | string;

export interface StoredPayment {
  method: string;
  transaction_id: string;
  amount: number;
  currency: string;
}

/** A document of `subscriptions`. */
export interface StoredSubscription {
  user_id: StoredId;
  start_date: Date;
  end_date: Date | null;
  total_credits: number;
  system_portion: number;
  spendable_credits: number;
  status: "active" | "past_due" | "paused" | "cancelled" | "expired";
  timezone?: string;
  /** What payments added; missing in what another program made. */
  grants?: {
    grant_id: Types.ObjectId | string;
    amount: number;
    system_portion: number;
    spendable_credits: number;
    from_day: string;
    days: number;
    added_at: Date;
    payment?: StoredPayment | null;
  }[];
  stripe?: Record<string, unknown> | null;
}

/** A document of `dailycredits`: made when a day is first touched. */
export interface StoredDay {
  subscription_id: StoredId;
  user_id?: StoredId;
  /** The day's midnight in the subscription's time zone. */
  date: Date;
  daily_credit_limit: number;
  credits_rolled_over: number;
  credits_used: number;
  credits_held?: number;
}

export interface StoredSource {
  source: "day" | "pack";
  date?: Date;
  pack_id?: StoredId;
  credit_amount: number;
  reversed_credits?: number;
}

/** A document of `usages`: one charge. */
export interface StoredUsage {
  user_id: StoredId;
  subscription_id: StoredId | null;
  service_type: string;
  credit_amount: number;
  token_count: number | null;
  model_used: string | null;
  session_id: string | null;
  details: Record<string, unknown> | null;
  timestamp: Date;
  date?: Date | null;
  sources?: StoredSource[];
  uncovered_credits?: number;
  late?: boolean;
  reversed_credits?: number;
  /** Only there where tokens were told by kind. */
  tokens?: StoredTokens;
}

/** Tokens by kind. */
export interface StoredTokens {
  input: number;
  output: number;
  cache_read: number;
  cache_write: number;
  reasoning: number;
}

/** A document of `packs`. */
export interface StoredPack {
  user_id: StoredId;
  amount: number;
  system_portion: number;
  spendable_credits: number;
  credits_used: number;
  credits_held: number;
  category: "paid" | "promotional" | "adjustment";
  priority: number;
  created_at: Date;
  /** Null: never. */
  expires_at: Date | null;
  payment?: StoredPayment | null;
}

export interface AllotmentSchemas {
  subscription: Schema<StoredSubscription>;
  day: Schema<StoredDay>;
  usage: Schema<StoredUsage>;
  pack: Schema<StoredPack>;
}

export interface AllotmentModels {
  Subscription: Model<StoredSubscription>;
  DailyCredit: Model<StoredDay>;
  Usage: Model<StoredUsage>;
  Pack: Model<StoredPack>;
}

const HEX = /^[0-9a-fA-F]{24}$/;

/** Return an id as Allotment stores it. */
export function storedId(mongoose: Mongoose, id: string): StoredId {
  return HEX.test(id) ? new mongoose.Types.ObjectId(id) : id;
}

/** Return the schemas, made with the application's Mongoose. */
export function allotmentSchemas(mongoose: Mongoose): AllotmentSchemas {
  const { Mixed } = mongoose.Schema.Types;
  const id = { type: idType(mongoose), required: true };
  const whole = { type: Number, required: true };
  const payment = { type: Mixed, default: undefined };
  return {
    subscription: schema<StoredSubscription>(mongoose, "subscriptions", {
      user_id: id,
      start_date: { type: Date, required: true },
      end_date: Date,
      total_credits: whole,
      system_portion: whole,
      spendable_credits: whole,
      status: { type: String, required: true },
      timezone: String,
      grants: { type: [Mixed], default: undefined },
      stripe: { type: Mixed, default: undefined },
    }),
    day: schema<StoredDay>(mongoose, "dailycredits", {
      subscription_id: id,
      user_id: { type: idType(mongoose) },
      date: { type: Date, required: true },
      daily_credit_limit: whole,
      credits_rolled_over: whole,
      credits_used: whole,
      credits_held: Number,
    }),
    usage: schema<StoredUsage>(mongoose, "usages", {
      user_id: id,
      subscription_id: { type: idType(mongoose) },
      service_type: String,
      credit_amount: whole,
      token_count: Number,
      model_used: String,
      session_id: String,
      details: { type: Mixed, default: undefined },
      timestamp: { type: Date, required: true },
      date: Date,
      sources: { type: [Mixed], default: undefined },
      uncovered_credits: Number,
      late: Boolean,
      reversed_credits: Number,
      tokens: { type: Mixed, default: undefined },
    }),
    pack: schema<StoredPack>(mongoose, "packs", {
      user_id: id,
      amount: whole,
      system_portion: whole,
      spendable_credits: whole,
      credits_used: whole,
      credits_held: whole,
      category: { type: String, required: true },
      priority: whole,
      created_at: { type: Date, required: true },
      expires_at: Date,
      payment,
    }),
  };
}

/**
 * Return models of the schemas on a connection (or the default one). `prefix` stands before their
 * names where the application has models of the same ones.
 */
export function allotmentModels(
  mongoose: Mongoose,
  { connection = mongoose.connection, prefix = "" }: { connection?: Connection; prefix?: string } = {},
): AllotmentModels {
  const { subscription, day, usage, pack } = allotmentSchemas(mongoose);
  const model = <Stored>(name: string, schema: Schema<Stored>) =>
    connection.model(prefix + name, schema as Schema) as unknown as Model<Stored>;
  return {
    Subscription: model("Subscription", subscription),
    DailyCredit: model("DailyCredit", day),
    Usage: model("Usage", usage),
    Pack: model("Pack", pack),
  };
}

function schema<Stored>(
  mongoose: Mongoose,
  collection: string,
  fields: Record<keyof Stored, unknown>,
): Schema<Stored> {
  const id = { type: idType(mongoose), default: () => new mongoose.Types.ObjectId() };
  const definition = { _id: id, ...fields } as SchemaDefinition;
  const options = { collection, autoIndex: false, autoCreate: false, versionKey: false, minimize: false };
  return new mongoose.Schema(definition, options as object) as unknown as Schema<Stored>;
}

/** Return a type that turns ids into what Allotment stores, in documents and in queries. */
function idType(mongoose: Mongoose): typeof mongoose.SchemaType {
  const known = mongoose.Schema.Types as unknown as Record<string, typeof mongoose.SchemaType>;
  known.AllotmentId ??= class AllotmentId extends mongoose.SchemaType {
    constructor(path: string, options: object) {
      super(path, options, "AllotmentId");
    }

    override cast(value: unknown): unknown {
      return typeof value === "string" ? storedId(mongoose, value) : value;
    }
  } as unknown as typeof mongoose.SchemaType;
  return known.AllotmentId;
}
