"""The client's middleware, as it is installed: both kinds of module, and types that fit."""

import json
from pathlib import Path

import pytest

from tests.clients.node_programs import install_packages, output_of
from tests.clients.typescript import CLIENT, run

LOADED = """
for (const name of ["express", "hono", "next", "ai"]) {
  const required = Object.keys(require(`@allotment/client/${name}`)).filter((one) => one !== "__esModule");
  import(`@allotment/client/${name}`).then((imported) => {
    const given = required.every((one) => typeof imported[one] === "function");
    console.log(name, given, required.sort().join());
  });
}
"""
APPLICATION = """
import { Allotment } from "@allotment/client";
import { creditsMiddleware } from "@allotment/client/ai";
import { credits } from "@allotment/client/express";
import { credits as honoCredits } from "@allotment/client/hono";
import { credits as nextCredits } from "@allotment/client/next";
import { type LanguageModelMiddleware, wrapLanguageModel } from "ai";
import { MockLanguageModelV3 } from "ai/test";
import express from "express";
import { Hono } from "hono";

const client = new Allotment({ baseUrl: "http://127.0.0.1", apiKey: "k", whenAway: "allow" });

express().post(
  "/chat/:room",
  credits({ client, user: (request) => request.get("x-user"), hold: 20 }),
  (request, response) => {
    request.credits.report({ creditAmount: 12 });
    // @ts-expect-error - an amount is a number
    request.credits.report({ creditAmount: "12" });
    response.json(request.params.room);
  },
);

const user = "ada";
new Hono().post("/chat", honoCredits({ client, user, hold: (c) => c.req.path.length }), (c) => {
  c.get("credits").report({ creditAmount: 12 });
  return c.json({ aborted: c.get("credits").signal.aborted });
});

interface Room {
  params: Promise<{ room: string }>;
}
export const POST = nextCredits({ client, user, hold: 20 }, async (request, hold, room: Room) => {
  hold.report({ creditAmount: (await request.text()).length });
  return Response.json(await room.params);
});

const middleware: LanguageModelMiddleware = creditsMiddleware({
  client,
  hold: { creditAmount: 20, atLeast: 5, timeoutMs: 3_000 },
  credits: ({ input, output }, { model }) => (model.modelId === "small" ? 1 : input + output),
});
wrapLanguageModel({ model: new MockLanguageModelV3(), middleware });
// @ts-expect-error - somebody pays
credits({ client, hold: 20 });
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("application")
    install_packages(found)
    return found


def test_each_middleware_loads_as_either_kind_of_module(directory: Path) -> None:
    (directory / "loaded.cjs").write_text(LOADED)

    said = sorted(output_of(directory / "loaded.cjs").splitlines())

    assert said == [
        "ai true creditsMiddleware",
        "express true credits",
        "hono true credits",
        "next true credits,refused",
    ]


@pytest.mark.parametrize("kind", ["module", "commonjs"])
def test_each_middleware_fits_the_types_of_its_framework(directory: Path, kind: str) -> None:
    place = directory / kind
    place.mkdir()
    (place / "package.json").write_text(json.dumps({"type": kind}))
    (place / "application.ts").write_text(APPLICATION)
    options = {
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noEmit": True,
        "skipLibCheck": True,
        "module": "nodenext",
        "target": "es2022",
        "types": ["node"],
        "typeRoots": [str(CLIENT / "node_modules" / "@types")],
    }
    (place / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))

    run("npx", "tsc", "--project", str(place))
