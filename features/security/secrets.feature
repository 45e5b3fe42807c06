@blocker
Feature: No password can be read where it must not be
  Logs are shipped, reports are mailed, error messages end up in tickets. A password in any of them is known to all who
  read it. Each search is given a decoy as well, to show that it finds what is there.

  @id.SE-05 @hosts @members
  Scenario: No password can be read in the logs of the hosts
    Given a decoy that every member has logged
    When the logs of all hosts are searched for every password
    Then the decoy is found wherever it was planted
    And no password is found

  @id.SE-05 @hosts
  Scenario: No password can be read among the arguments of a running program
    Given a decoy among the arguments of a program on every host
    When the arguments of all programs on the hosts are searched for every password
    Then the decoy is found wherever it was planted
    And no password is found

  @id.SE-05
  Scenario: No password can be read in what is gathered for the report
    Given a decoy in the report
    When the files of the report are searched for every password
    Then the decoy is found wherever it was planted
    And no password is found

  @id.SE-05
  Scenario: No error message tells a password
    Given a decoy that error messages tell
    When logins and requests fail in every known way, and what is said about it is searched for every password
    Then the decoy is found wherever it was planted
    And no password is found
