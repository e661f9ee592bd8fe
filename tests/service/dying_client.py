"""A client that holds and settles for ever, until it is killed. Standard library only: 200 start.

python dying_client.py PORT KEY USER SEED
"""

import http.client
import json
import random
import sys

HOLD_SECONDS = 3


def main(port: str, key: str, user_id: str, seed: str) -> None:
    dice = random.Random(seed)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)

    def post(path: str, **body: object) -> dict[str, object]:
        connection.request("POST", path, json.dumps(body), headers)
        answer = json.loads(connection.getresponse().read())
        assert isinstance(answer, dict)
        return answer

    while True:
        held = post(
            "/subscription/holds",
            user_id=user_id,
            credit_amount=dice.randint(1, 9),
            expires_in=HOLD_SECONDS,
        )
        sys.stdout.write(f"{held['hold_id']}\n")
        sys.stdout.flush()
        cost = dice.randint(0, 12)
        post(f"/subscription/holds/{held['hold_id']}/settle", credit_amount=cost)


if __name__ == "__main__":
    main(*sys.argv[1:])
