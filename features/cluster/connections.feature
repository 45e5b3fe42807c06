@blocker
Feature: The application reaches its database
  The application writes to one address. Behind that address it must find its own database, in as many sessions as it
  needs, and it must not notice when one of those sessions dies.

  @id.CL-01 @smoke
  Scenario: The write endpoint leads to the application's database
    When the application logs in through the write endpoint
    Then PostgreSQL 16 or newer answers
    And the session is in the application's database, under the application's name

  @id.CL-01 @application_schema
  Scenario: The application finds every table and column that it needs
    Then every table and column of the application's schema is there

  @id.CL-01 @members
  Scenario: Every member belongs to the database system behind the write endpoint
    When every member is asked which database system it belongs to
    Then every member names the one behind the write endpoint

  @id.CL-02 @vector @members
  Scenario: Every member has the same version of the vector extension
    When every member is asked for its vector extension
    Then all have the same version installed, and the same version available

  @id.CL-02 @vector
  Scenario Outline: The <metric> distance from <one> to <other> is computed correctly by <servers>
    When the <metric> distance from <one> to <other> is computed by <servers>
    Then the answer is <distance>

    Examples: by hand, through the write endpoint
      | servers            | metric    | one       | other     | distance |
      | the write endpoint | cosine    | [3, 4]    | [4, 3]    | 0.04     |
      | the write endpoint | Euclidean | [1, 2, 3] | [3, 5, 9] | 7        |

    @members
    Examples: by hand, on every member
      | servers      | metric    | one       | other     | distance |
      | every member | cosine    | [3, 4]    | [4, 3]    | 0.04     |
      | every member | cosine    | [1, 0]    | [-2, 0]   | 2        |
      | every member | Euclidean | [1, 2, 3] | [3, 5, 9] | 7        |

  @id.CL-03 @backends
  Scenario: 40 sessions are open at once
    When 40 sessions are held open through the write endpoint
    Then all 40 are open
    And each of the 40 answers from a backend of its own

  @id.CL-04 @backends
  Scenario: A session survives a statement timeout
    Given a session whose statements may take 0.5 seconds
    When it executes a statement that takes 10 seconds
    Then the statement is cancelled
    And the same session answers the next one

  @id.CL-04 @backends
  Scenario: A pooled session that the server killed is replaced without an error
    Given a pool of sessions, one of them idle
    When the server kills the idle session
    Then the next user of the pool is served without an error
    And it is a different session

  @id.CL-05
  Scenario: 20 concurrent clients each get their own answers
    When 20 concurrent clients ask 10 questions each
    Then all 20 clients were answered 10 times
    And each answer is the asker's own
