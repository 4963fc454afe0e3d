# SPDX-License-Identifier: Apache-2.0
"""What the program says about itself (tools/describe.h), for what is made of it: manual pages and shell completions."""

import json
import subprocess


def ask(weir, *args):
    """One JSON document of the program."""
    return json.loads(subprocess.run([weir, *args], check=True, stdout=subprocess.PIPE, text=True).stdout)


class Program:
    """The commands in their order, each with its table of options, and the keys of the configuration."""

    def __init__(self, weir):
        whole = ask(weir, "--describe")
        self.version = whole["version"]
        self.database_keys, self.keys = whole["database_keys"], whole["keys"]
        self.commands = []
        for entry in whole["commands"]:
            command = ask(weir, entry["name"], "--describe")
            command["headline"] = entry["about"]
            command["options"].append(
                {"letter": None, "name": "help", "argument": None, "help": "show this text", "many": False})
            self.commands.append(command)
        text = subprocess.run([weir, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
        status = text.partition("Exit status: ")[2].replace("\n", " ").rstrip(". ")
        self.statuses = [part.split(" ", 1) for part in status.split(", ")]

    def words(self, option):
        """The few words that an option takes, where it stands for a key that has some."""
        for key in self.database_keys + self.keys:
            if key["choice"] and key["name"].replace(".", "-") == option["name"]:
                return key["choice"].split("|")
        return []
