@searchable_passwords @blocker
Feature: No password leaks into logs, arguments, reports or messages
  Logs are shipped, reports are mailed, and error messages end up in tickets. Anyone who can read them can read
  any password they contain. Each search also looks for a decoy, to show that it finds what is there.

  @id.SE-05 @hosts @members
  Scenario: No password can be read in the logs of the hosts
    Given a decoy that every member has logged
    When the logs of all hosts are searched for every password
    Then the decoy is found wherever it was planted
    And no password is found

  @id.SE-05 @hosts
  Scenario: No password can be read in the arguments of a running program
    Given a decoy in the arguments of a program on every host
    When the arguments of all programs on the hosts are searched for every password
    Then the decoy is found wherever it was planted
    And no password is found

  @id.SE-05 @report
  Scenario: No password can be read in the data gathered for the report
    Given a decoy in the report
    When the files of the report are searched for every password
    Then the decoy is found wherever it was planted
    And no password is found

  @id.SE-05
  Scenario: No error message contains a password
    Given a decoy that error messages contain
    When logins and requests fail in every known way, and their error messages are searched for every password
    Then the decoy is found wherever it was planted
    And no password is found
